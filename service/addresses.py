"""Where clients find things."""


def git_url(public_url: str, subscription_id: object) -> str:
    """Where a server that clients reach at `public_url` serves a subscription's repository."""
    return f"{public_url.rstrip('/')}/git/{subscription_id}.git"
