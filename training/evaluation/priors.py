"""The densities over codes that a bundle can be sampled from, by name."""

STANDARD_NORMAL = "standard-normal"
GAUSSIAN_MIXTURE = "gaussian-mixture"


def default_prior(*, variational: bool) -> str:
    """Name the prior that samples come from when a request does not say."""
    return STANDARD_NORMAL if variational else GAUSSIAN_MIXTURE
