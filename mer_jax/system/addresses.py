"""Addresses of cameras and streams on the command line: telling them from files, and printing them without secrets."""

import re

# As in `rtsp://user:password@host`, and in queries such as `?user=a&pwd=b` or `?loginuse=a&loginpas=b`.
_PASSWORD = re.compile(r"(://[^/:@]*):[^/]*@")
_SECRET = re.compile(r"([?&;][^=&;#]*(?:pas|pw|token|auth|key|secret)[^=&;#]*=)[^&;#]*", re.IGNORECASE)


def is_stream(source: str) -> bool:
    """Returns whether a source is an address or a camera, rather than a path.

    Example:
        >>> [is_stream(each) for each in ("camera:0", "rtsp://10.0.0.7/stream", "camera.mp4")]
        [True, True, False]
    """
    return "://" in source or source.partition(":")[0] == "camera"


def hide_password(source: str) -> str:
    """Returns an address without the password in it, and without the secrets in its query.

    Example:
        >>> hide_password("rtsp://me:secret@10.0.0.7/stream")
        'rtsp://me:***@10.0.0.7/stream'
        >>> hide_password("http://10.0.0.7/video?user=me&pwd=secret&fps=25")
        'http://10.0.0.7/video?user=me&pwd=***&fps=25'
    """
    if "://" not in source:
        return source
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", source))
