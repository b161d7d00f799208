"""IP addresses, in the one form in which rows have them."""

from ipaddress import ip_address


def stored_address(text: str) -> str:
    """Return an address as rows have it; raises ValueError for any other text.

    The scope of a link-local address is cut off, since PostgreSQL's INET can't hold it. IPv4 inside of IPv6
    is IPv4.
    """
    address = ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)
