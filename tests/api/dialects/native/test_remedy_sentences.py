"""What a field probably meant is said in sentences of our own."""

from hypothesis import given
from hypothesis import strategies as st

from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.remedies import remedy_for_field


@given(name=st.text(max_size=100), call=st.sampled_from(list(CALLS.values())))
def test_a_remedy_is_one_of_our_own_sentences(name: str, call: Call) -> None:
    sentence = remedy_for_field(call, name)

    assert len(sentence) < 280
    assert sentence.isascii()
    assert len(name) < 5 or name.isascii() or name not in sentence
