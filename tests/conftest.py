"""What holds for every test: set-up is complete, and nothing of the user's own comes in."""

import signal

import pytest

from mer_jax.errors import FaceModelError
from mer_jax.vision.face_model import find_face_model

# A licensed corpus, and the data folder of real runs, are not for tests to read or write.
USER_VARIABLES = ("MER_MANUAL_DIR", "MER_DATA_DIR")


def pytest_sessionstart():
    """Says once that the face model is missing, instead of in a hundred tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores Ctrl-C, and so would the commands that the tests interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        find_face_model()
    except FaceModelError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session", autouse=True)
def _without_user_settings():
    with pytest.MonkeyPatch.context() as patch:
        for name in USER_VARIABLES:
            patch.delenv(name, raising=False)
        yield
