"""Names of the priors of a bundle: the densities over codes that samples are drawn from."""

STANDARD_NORMAL = "standard-normal"
GAUSSIAN_MIXTURE = "gaussian-mixture"


def default_prior(*, variational: bool) -> str:
    """Return the prior that samples are drawn from if a request names none."""
    return STANDARD_NORMAL if variational else GAUSSIAN_MIXTURE
