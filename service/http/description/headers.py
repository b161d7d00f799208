"""Headers of requests and answers, as the description of the API names them."""

from service.domain.idempotency import HEADER as IDEMPOTENCY_KEY_HEADER
from service.http.description.declarations import Header
from service.http.requests import CHANGE_REASON, MAX_REASON

_REQUEST_ID = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}
_SECONDS = {"type": "integer", "minimum": 0}

# -- of requests -------------------------------------------------------------------------------

REQUEST_ID = Header(
    "X-Request-Id",
    "Id that the answer echoes, and that every row has which the request causes. Any other text is replaced "
    "by a new id.",
)
REASON = Header(
    CHANGE_REASON,
    "Reason of the call, for the audit log.",
    {"type": "string", "maxLength": MAX_REASON},
)
IF_MATCH = Header(
    "If-Match",
    'ETag of the version that the change is based on, such as `"<commit>"`; several are separated by commas.',
)
IF_NONE_MATCH = Header(
    "If-None-Match", "ETags that the client has; if one of them is current, the answer is 304."
)
IDEMPOTENCY_KEY = Header(
    IDEMPOTENCY_KEY_HEADER,
    "Key of this call, unique for its caller. A retry with the same key and body within 24 hours gets the "
    "answer of the first try.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
)

# -- of answers --------------------------------------------------------------------------------

ANSWERED_ID = Header("X-Request-Id", "Id of the request.", _REQUEST_ID, always=True)
ETAG = Header("ETag", 'Commit of the version, in quotes: `"<commit>"`.')
LINK = Header("Link", 'Address of the next page, with `rel="next"`; the last page has none.')
DISPOSITION = Header("Content-Disposition", "Name of the file, where the answer is one.")
LOCATION = Header("Location", "Address of the run.", {"type": "string", "format": "uri-reference"})
RETRY_AFTER = Header("Retry-After", "Seconds until the call may be sent again.", _SECONDS, always=True)
AUTHENTICATE = Header("WWW-Authenticate", "Scheme of the credentials that are wanted.", always=True)
RATE_LIMIT_POLICY = Header(
    "RateLimit-Policy", "Limits that apply to the caller: quota `q` in a window of `w` seconds."
)
RATE_LIMIT = Header(
    "RateLimit", "Calls that remain, `r`, and the seconds `t` until the quota is whole again."
)
