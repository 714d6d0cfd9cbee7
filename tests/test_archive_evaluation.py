"""Evaluations: what travels from the workers to the driver comes as it was."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.evaluation import Evaluation, Status, TaskResult, Tasks
from archive.plain import TextError

number = st.floats(allow_nan=False)
results = st.dictionaries(
    st.text(), st.builds(TaskResult, number, st.none() | number, st.none() | number, st.none() | number), max_size=4
)


@given(results)
def test_results_are_the_same_as_text(found):
    tasks = Tasks.of(found)
    assert repr(tasks) == repr(found)  # tells -0.0 from 0.0
    assert tasks == found
    assert found == tasks
    assert tasks == Tasks(tasks.text)
    assert (list(tasks), len(tasks), list(tasks.values())) == (list(found), len(found), list(found.values()))
    assert all(tasks[name] == found[name] for name in found)
    assert Tasks.of(tasks) is tasks


@given(results, number)
def test_an_evaluation_travels_whole_and_its_results_as_text(found, score):
    sent = Evaluation(Status.OK, score, 1, 2, found, {"width": score}, (score, 0.5), 3, 0.25, None, "told")
    came = pickle.loads(pickle.dumps(sent, pickle.HIGHEST_PROTOCOL))
    assert repr(came) == repr(sent)
    assert came == sent
    assert isinstance(came.tasks, Tasks)
    assert came.status is Status.OK


def test_results_that_are_damaged_are_told_when_somebody_looks():
    for text, told in (("[cut", "line 1 column"), ("[1]", "no results by task"), ("5", "no results by task")):
        for look in (len, list, dict, repr):
            with pytest.raises(TextError, match=told):
                look(Tasks(text))
