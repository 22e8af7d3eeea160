"""Settings of the test suite."""

import os

from hypothesis import settings

# A landing must not depend on luck; at a desk, new examples are welcome.
settings.register_profile("landing", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("landing")
