"""What a request that a call cannot read probably meant.

Only names that stand here or in the table of calls are written: a name that a client made up is
its own text. Nothing here runs for a request that succeeds.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from service.api.dialects.native.calls import CALLS, Call
from service.errors import FieldError, InvalidInput, MalformedBody, RequestError
from service.formats.json_terms import pointer_to
from service.formats.row_format import MAX_ERRORS

_MAX_NAME_CHARACTERS = 40  # of names that are compared with others
_MAX_SEARCHED_BYTES = 4096
_SIMILARITY = 0.7  # 1 for equal names; "modle" and "model" have 0.8
_FORM_FIELDS = re.compile(rb"[\w%.+-]{1,64}(\[\])?=")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.-]+")

_OTHER_NAMES = {
    "inputs": "input data input_data input_tensor input_1 rows row x xs features feature samples"
    " sample images image img instances instance tensor tensors array arrays ndarray batch values"
    " value vector vectors examples records items points signal series sequence sequences pixels"
    " picture pictures file files query queries payload body content dataframe dataframe_split"
    " dataframe_records df outputs reconstructions denoised",
    "codes": "code latent latents latent_codes z zs embedding embeddings encoding encodings encoded"
    " bottleneck hidden representation representations",
    "model": "model_name model_id name which",
    "version": "model_version v revision",
    "ids": "id row_ids request_id request_ids keys indices index",
    "conditions": "condition label labels class classes y target targets attributes",
    "decimals": "precision digits round rounding ndigits decimal_places places",
    "score": "scorer method metric measure detector score_name",
    "false_positive_rate": "fpr fp_rate threshold thresholds alpha significance level rate"
    " contamination error_rate false_alarm_rate p_value_threshold quantile",
    "false_discovery_rate": "fdr fd_rate bh q",
    "count": "n num number n_samples num_samples sample_count size amount num_images batch_size"
    " limit k",
    "seed": "random_state random_seed rng_seed rng",
    "temperature": "temp tau scale std sigma",
    "prior": "distribution sampler density prior_name",
}
_MEANINGS = {
    other: name for name, others in _OTHER_NAMES.items() for other in (name, *others.split())
}
_ENVELOPES = {
    "instances": "TensorFlow Serving, KServe V1, Vertex AI and SageMaker",
    "signature_name": "TensorFlow Serving",
    "dataframe_split": "MLflow",
    "dataframe_records": "MLflow",
    "input_data": "Azure ML and BentoML",
    "ndarray": "Seldon",
}
_V2 = "this looks like the Open Inference Protocol (V2), whose tensors are not read here"


def unknown_fields_error(call: Call, names: Sequence[str]) -> InvalidInput:
    """Return the error for fields that a call does not have; the most helpful one sums it up.

    Args:
        call: The call.
        names: The fields and query parameters, as the client wrote them, at least one.
    """
    errors = [
        FieldError(pointer_to(name), remedy_for_field(call, name)) for name in names[:MAX_ERRORS]
    ]
    best = min(errors, key=lambda error: error.detail.endswith(_take(call))).detail
    more = len(names) - 1
    others = f"{more} more fields are" if more > 1 else "1 more field is"
    return InvalidInput(best + (f" ({others} unknown)" if more else ""), errors)


def remedy_for_field(call: Call, name: str) -> str:
    """Say what a field that the call does not have probably meant, in a sentence without it.

    Args:
        call: The call.
        name: The field or query parameter, as the client wrote it.
    """
    if name == call.rows_field:  # the body's own is not among the unknown
        return f"{name} go into the body, not into the query"
    plain = _plain(name)
    origin = f" ({_ENVELOPES[plain]})" if plain in _ENVELOPES else ""
    return f"unknown field{origin}; {_meant(call, plain)}"


def remedy_for_error(error: RequestError, call: Call, body: bytes) -> RequestError:
    """Return an error that also says what the body as a whole probably meant.

    Args:
        error: Why the body could not be read.
        call: The call.
        body: The body, in JSON.
    """
    hint = None
    if isinstance(error, MalformedBody):
        hint = _hint_for_text(call, body)
    elif isinstance(error, InvalidInput) and b'"datatype"' in body[:_MAX_SEARCHED_BYTES]:
        hint = f"{_V2}: {_take(call)}"
    return type(error)(f"{error}; {hint}", error.field_errors) if hint else error


def _hint_for_text(call: Call, body: bytes) -> str | None:
    start = body[:_MAX_SEARCHED_BYTES].lstrip()[:8]
    if start.startswith(b"["):
        if call.rows_field is None:
            return _take(call)
        return f'put the list of rows into a field: {{"{call.rows_field}": [...]}}'
    if start.startswith(b'"'):
        return "it is text: was JSON encoded twice?"
    if start[:1] == b"{" and start[1:].lstrip().startswith(b"'"):
        return "JSON has double quotes, not single ones"
    if _FORM_FIELDS.match(body):
        return "these are fields of a form: send one JSON object, or files as multipart/form-data"
    return None


def _plain(name: str) -> str:
    """Write a name as fields are written, or empty when it is too long to be meant as one."""
    if len(name) > _MAX_NAME_CHARACTERS:
        return ""
    return _WORD_START.sub("_", name.strip()).lower().strip("_")


def _meant(call: Call, plain: str) -> str:
    """Say what a name means by itself, or the name that is most like it."""
    meaning = _MEANINGS.get(plain) or _MEANINGS.get(_closest(plain), "")
    if meaning in call.fields.model_fields:
        return f"{meaning} was probably meant"
    if meaning == "codes" and call.rows_field == "inputs":
        return f"codes go to POST /decode; {_take(call)}"
    if meaning in ("inputs", "codes"):
        return _where_rows_go(call)
    others = [other.path for other in CALLS.values() if meaning in other.fields.model_fields]
    if not others:
        return _take(call)
    where = f"POST {others[0]}" if len(others) == 1 else "other calls"
    return f"{meaning} is a field of {where}; {_take(call)}"


def _closest(plain: str) -> str:
    return next(iter(get_close_matches(plain, _MEANINGS, 1, _SIMILARITY)), "")


def _where_rows_go(call: Call) -> str:
    if call.rows_field is None:
        return f"{call.path} takes no rows: count says how many to draw"
    if call.rows_field == "codes":
        return "codes go into the field codes, as POST /encode returns them"
    return f"rows go into the field {call.rows_field}"


def _take(call: Call) -> str:
    rows = [call.rows_field] if call.rows_field else []
    return f"{call.path} takes {', '.join([*rows, *call.fields.model_fields])}"
