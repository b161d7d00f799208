"""Requests to upload-pack, made by hand (gitprotocol-common(5), gitprotocol-v2(5))."""

from tests.support.api import Tenant

FLUSH = b"0000"
DELIMITER = b"0001"


def line(text: str) -> bytes:
    return b"%04x%s" % (len(text) + 4, text.encode())


def fetch(*arguments: str) -> bytes:
    head = line("command=fetch\n") + line("object-format=sha1") + DELIMITER
    return head + b"".join(line(argument + "\n") for argument in arguments) + FLUSH


LS_REFS = line("command=ls-refs\n") + DELIMITER + line("symrefs\n") + FLUSH


def upload_pack(tenant: Tenant) -> str:
    return f"/git/{tenant.subscription_id}.git/git-upload-pack"
