"""What all tests share."""

from hypothesis import settings

# the first example of a test compiles or loads something: time limits for single examples only make noise
settings.register_profile("pride", settings(), deadline=None)
settings.load_profile("pride")
