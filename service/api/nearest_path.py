"""What a path that is not there probably meant."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

_MAX_PATH_CHARACTERS = 200
_SIMILARITY = 0.7  # 1 for equal names
_PREFIX = re.compile(r"api|v\d+|v\d+(alpha|beta)\d*|latest|rest|ml|service|latentserve")
_CALLING = (
    "predict prediction predictions predict-proba infer inference invocations invoke call run"
    " transform forward process classify regress explain"
)
_ANY_CALL = frozenset(_CALLING.split())
_SYNONYMS = {
    "/anomaly-score": "anomaly anomalies score scores scoring anomalyscore anomaly-scores detect"
    " detection outlier outliers is-anomaly",
    "/encode": "encoder encoding encodings embed embedding embeddings latent latents code codes"
    " compress feature-extraction",
    "/decode": "decoder decoding decompress",
    "/reconstruct": "reconstruction reconstructions autoencode",
    "/denoise": "denoiser denoising clean",
    "/sample": "samples sampling generate generation generations random draw",
    "/models": "model list-models bundles repository catalog",
    "/healthz": "health healthcheck health-check heartbeat live livez liveness alive ping"
    " up status",
    "/readyz": "ready readiness startup startupz",
    "/metrics": "metric prometheus stats statistics actuator",
    "/version": "versions info about v2",
    "/errors": "error problems",
    "/docs": "doc documentation swagger swagger-ui swagger-ui.html index.html redoc api-docs"
    " apidocs playground ui help",
    "/openapi.json": "openapi openapi.yaml openapi.yml swagger.json swagger.yaml schema",
}
_PATHS = {name: path for path, names in _SYNONYMS.items() for name in names.split()}


def remedy_for_path(path: str, methods: Mapping[str, str], calls: list[str]) -> tuple[str, str]:
    """Say which path was probably meant, in a sentence without a word of what was asked for.

    Args:
        path: As it was asked for, decoded.
        methods: Every path there is, with its method; of a model, with ``{name}``.
        calls: Those of them that take rows, for paths that mean one of them.

    Returns:
        The sentence, and the path that was meant, or nothing.
    """
    segments = _segments(path)
    of_model = segments[:1] == ["models"] and len(segments) > 1
    last = segments[-1] if segments else ""
    every_call = f"POST {', '.join(calls[:-1])} or {calls[-1]}"
    if last in _ANY_CALL:
        return f"the calls are {every_call}{_naming(of_model=of_model)}", ""
    meant = _meant(segments, methods)
    if of_model and meant not in calls:
        meant = "/models/{name}/report" if last == "report" else "/models/{name}"
    if meant in methods:
        naming = _naming(of_model=of_model and meant in calls)
        return f"{methods[meant]} {meant} was probably meant{naming}", meant
    return f"the calls are {every_call}; GET /docs describes every path", ""


def _segments(path: str) -> list[str]:
    """Split a path into words as paths are written here, without a version of an API."""
    plain = path[:_MAX_PATH_CHARACTERS].lower().replace("_", "-")
    words = [word for word in re.split(r"[/:\\]", plain) if word.strip()]
    while len(words) > 1 and _PREFIX.fullmatch(words[0]):
        words = words[1:]
    return words


def _meant(segments: list[str], methods: Mapping[str, str]) -> str:
    if not segments:
        return "/docs"
    for segment in reversed(segments):
        if f"/{segment}" in methods:
            return f"/{segment}"
        if segment in _PATHS:
            return _PATHS[segment]
    names = [path[1:] for path in methods if "{" not in path]
    close = get_close_matches(segments[-1], sorted({*names, *_PATHS}), 1, _SIMILARITY)
    if not close:
        return ""
    return _PATHS.get(close[0], f"/{close[0]}")


def _naming(*, of_model: bool) -> str:
    return "; the model's name goes into the field model" if of_model else ""
