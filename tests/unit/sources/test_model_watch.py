"""What looks at a model directory mean, on hand-made listings and clocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.contracts.source import VersionChoice, WatchedModel
from navi_core.models.completeness import Entry
from navi_core.sources.directory_scan import ModelListing, VersionDirectory
from navi_core.sources.model_watch import ModelWatch

WALL_NS = 1_700_000_000 * 10**9
MODEL = WatchedModel(name="m", location="/models/m", stable_ms=2000)
PATH = Path("/models/m")


def directory(name, *, size=1, age_s=0.0, version=None):
    entry = Entry("model.onnx", size, WALL_NS - int(age_s * 1e9))
    return VersionDirectory(
        name=name, version=int(name) if version is None else version, tree=frozenset({entry})
    )


def old(name, **kwargs):
    return directory(name, age_s=3600, **kwargs)


def listing(*directories, **kwargs):
    return ModelListing(versions=directories, **kwargs)


@pytest.fixture
def watch():
    return ModelWatch(MODEL, PATH)


def look(watch, found, now):
    return watch.judge(found, began=now, ended=now, wall_ns=WALL_NS)


def versions(verdict):
    return None if verdict.aspired is None else [artifact.version for artifact in verdict.aspired]


def test_judge__at_start_up_old_directories_count_at_once(watch):
    verdict = look(watch, listing(old("9"), old("10"), directory("11")), 1.0)
    assert versions(verdict) == [10]
    assert verdict.aspired[0].path == Path("/models/m/10")
    assert verdict.aspired[0].name == "m"
    assert verdict.next_look == 3.0
    assert verdict.waiting == ("11",)


def test_judge__a_single_file_is_the_artifact_itself(watch):
    found = replace(listing(old("m", version=1)), is_file=True)
    [artifact] = look(watch, found, 1.0).aspired
    assert (artifact.version, artifact.path) == (1, PATH)


def test_judge__a_single_file_that_is_being_written_waits(watch):
    found = replace(listing(directory("m", version=1)), is_file=True)
    verdict = look(watch, found, 1.0)
    assert (versions(verdict), verdict.next_look, verdict.waiting) == ([], 3.0, ("m",))


def file(**kwargs):
    return replace(listing(directory("m", version=1, **kwargs)), is_file=True)


def test_judge__a_replaced_single_file_is_another_revision_once_it_came_to_rest(watch):
    [first] = look(watch, file(age_s=3600), 1.0).aspired
    [again] = look(watch, file(age_s=3600), 2.0).aspired
    assert again == first

    settling = look(watch, file(size=2, age_s=3600), 10.0)
    assert (settling.aspired, settling.next_look, settling.waiting) == (None, 12.0, ("m",))
    assert look(watch, file(size=3, age_s=3600), 12.0).next_look == 14.0

    [second] = look(watch, file(size=3, age_s=3600), 14.0).aspired
    assert (second.version, second.path) == (1, PATH)
    assert second.revision != first.revision
    assert look(watch, file(size=3, age_s=3600), 15.0).aspired == (second,)


@pytest.mark.parametrize("change", [{"size": 2}, {"age_s": 3000}, {"inode": 5}])
def test_judge__size_time_or_inode_tell_a_replaced_file(watch, change):
    inode = change.pop("inode", 4)
    watch.judge(_of_inode(file(age_s=3600), 4), began=1.0, ended=1.0, wall_ns=WALL_NS)
    found = _of_inode(file(**{"age_s": 3600, **change}), inode)
    assert look(watch, found, 2.0).aspired is None
    assert versions(look(watch, found, 4.0)) == [1]


def _of_inode(found, inode):
    [version] = found.versions
    tree = frozenset(entry._replace(inode=inode) for entry in version.tree)
    return replace(found, versions=(replace(version, tree=tree),))


def test_judge__a_file_that_never_rests_again_does_not_take_the_model_down(watch):
    look(watch, file(age_s=3600), 1.0)
    for step in range(5):
        verdict = look(watch, file(size=step + 2), 10.0 + step)
        assert verdict.aspired is None
        assert verdict.next_look == 12.0 + step


def test_judge__a_file_that_went_for_a_while_is_kept_and_is_the_same_if_it_comes_back(watch):
    [first] = look(watch, file(age_s=3600), 1.0).aspired
    assert look(watch, ModelListing(problem="no such file or directory"), 2.0).aspired is None
    assert look(watch, file(age_s=3600), 3.0).aspired == (first,)
    assert look(watch, file(size=9), 4.0).aspired is None
    [second] = look(watch, file(size=9), 6.0).aspired
    assert second.revision != first.revision


def test_judge__version_directories_have_no_revision(watch):
    [artifact] = look(watch, listing(old("1")), 1.0).aspired
    assert artifact.revision == ""


def test_judge__later_ones_wait_however_old_they_claim_to_be(watch):
    look(watch, listing(old("1")), 1.0)
    verdict = look(watch, listing(old("1"), old("2")), 10.0)
    assert versions(verdict) == [1]
    assert verdict.next_look == 12.0
    assert versions(look(watch, listing(old("1"), old("2")), 12.0)) == [2]


def test_judge__a_change_begins_the_wait_again(watch):
    look(watch, listing(old("1")), 1.0)
    look(watch, listing(old("1"), directory("2", size=1)), 10.0)
    assert look(watch, listing(old("1"), directory("2", size=2)), 12.0).next_look == 14.0
    verdict = look(watch, listing(old("1"), directory("2", size=2)), 14.0)
    assert versions(verdict) == [2]
    assert verdict.next_look is None


def test_judge__complete_ones_need_no_look_inside(watch):
    look(watch, listing(old("1"), directory("2")), 1.0)
    assert watch.known() == {"1"}
    unseen = VersionDirectory(name="1", version=1)
    assert versions(look(watch, listing(unseen), 2.0)) == [1]


def test_judge__a_directory_that_went_and_came_back_waits_again(watch):
    look(watch, listing(old("1")), 1.0)
    assert versions(look(watch, listing(), 2.0)) == []
    assert versions(look(watch, listing(old("1")), 3.0)) == []
    assert versions(look(watch, listing(old("1")), 5.0)) == [1]


def test_judge__nothing_there_is_an_empty_set_with_a_reason(watch):
    verdict = look(watch, listing(others=("model.onnx", "navi.toml")), 1.0)
    assert versions(verdict) == []
    assert verdict.problems == (
        (
            "model directory '/models/m' holds no version directory: "
            "expected MODEL_DIR/VERSION/..., got model.onnx, navi.toml"
        ),
    )


def test_judge__an_artifact_given_as_the_model_directory_is_told():
    watch = ModelWatch(MODEL, Path("/models/m/3"))
    (problem,) = look(watch, listing(others=("model.onnx",)), 1.0).problems
    assert problem.endswith("got model.onnx (is '/models/m' meant?)")


def test_judge__a_directory_of_models_given_as_one_model_is_told(watch):
    (problem,) = look(watch, listing(others=("README",), models=("a", "b")), 1.0).problems
    assert problem.endswith("got directories of models: expected one of them (a, b)")


@pytest.mark.parametrize("problem", ["no such file or directory", "not a directory", "stale file handle"])
def test_judge__a_directory_that_cannot_be_listed_keeps_what_there_is(watch, problem):
    gone = ModelListing(problem=problem)
    assert versions(look(watch, gone, 0.5)) == []
    watch = ModelWatch(MODEL, PATH)
    look(watch, listing(old("1")), 1.0)
    verdict = look(watch, gone, 2.0)
    assert verdict.aspired is None
    assert verdict.problems == (
        f"model directory '/models/m': expected MODEL_DIR/VERSION/..., got: {problem}",
    )
    assert versions(look(watch, listing(VersionDirectory(name="1", version=1)), 3.0)) == [1]


def test_judge__an_unreadable_version_is_told_and_the_others_count(watch):
    broken = VersionDirectory(name="2", version=2, problem="permission denied")
    verdict = look(watch, listing(old("1"), broken), 1.0)
    assert versions(verdict) == [1]
    assert verdict.problems == ("version directory '2': permission denied",)
    assert verdict.next_look is None


def test_judge__of_two_names_for_a_number_the_later_wins(watch):
    verdict = look(watch, listing(old("003"), old("3")), 1.0)
    assert [artifact.path.name for artifact in verdict.aspired] == ["3"]
    assert verdict.problems == ("version directories '003' and '3' are both version 3: '3' is taken",)
    watch = ModelWatch(MODEL, PATH)
    verdict = look(watch, listing(old("003"), directory("3")), 1.0)
    assert [artifact.path.name for artifact in verdict.aspired] == ["003"], "the other one is not complete"
    assert not verdict.problems


def test_judge__the_choice_is_among_complete_versions():
    every = replace(MODEL, choice=VersionChoice("all"))
    found = listing(old("1"), old("2"), directory("3"))
    assert versions(look(ModelWatch(every, PATH), found, 1.0)) == [1, 2]
    two = replace(MODEL, choice=VersionChoice("latest", num_latest=2))
    assert versions(look(ModelWatch(two, PATH), listing(old("1"), old("9"), old("10")), 1.0)) == [9, 10]
    pinned = replace(MODEL, choice=VersionChoice("specific", versions=(1, 3, 7)))
    verdict = look(ModelWatch(pinned, PATH), found, 1.0)
    assert versions(verdict) == [1]
    assert verdict.problems == ("version 7 is wanted but not there",)


def test_change__keeps_what_is_known_of_the_directories(watch):
    look(watch, listing(old("1"), old("2")), 1.0)
    watch.change(replace(MODEL, choice=VersionChoice("specific", versions=(1,))), PATH)
    assert watch.known() == {"1", "2"}
    both = listing(VersionDirectory(name="1", version=1), VersionDirectory(name="2", version=2))
    assert versions(look(watch, both, 2.0)) == [1]


def test_change__another_directory_begins_anew(watch):
    look(watch, listing(old("1")), 1.0)
    watch.change(MODEL, Path("/elsewhere"))
    assert watch.known() == frozenset()
    verdict = look(watch, listing(old("1")), 2.0)
    assert verdict.aspired[0].path == Path("/elsewhere/1")


def test_change__a_directory_that_is_not_there_keeps_what_the_one_before_had(watch):
    look(watch, listing(old("1")), 1.0)
    watch.change(MODEL, Path("/elsewhere"))
    gone = ModelListing(problem="no such file or directory")
    assert [look(watch, gone, now).aspired for now in (2.0, 3.0)] == [None, None]
    watch.change(MODEL, Path("/nowhere"))
    assert look(watch, gone, 4.0).aspired is None
    verdict = look(watch, listing(old("1")), 5.0)
    assert verdict.aspired is None, "it came after the first look, so it may still be written"
    assert look(watch, listing(old("1")), 7.0).aspired[0].path == Path("/nowhere/1")
    assert versions(look(watch, listing(), 8.0)) == []


def test_change__a_directory_that_is_being_filled_keeps_what_the_one_before_had(watch):
    look(watch, listing(old("1")), 1.0)
    watch.change(MODEL, Path("/elsewhere"))
    verdict = look(watch, listing(directory("2")), 2.0)
    assert (verdict.aspired, verdict.next_look) == (None, 4.0)
    assert versions(look(watch, listing(directory("2")), 4.0)) == [2]


def test_change__a_directory_without_versions_ends_what_the_one_before_had(watch):
    look(watch, listing(old("1")), 1.0)
    watch.change(MODEL, Path("/elsewhere"))
    assert versions(look(watch, listing(), 2.0)) == []


def test_change__a_pin_to_a_version_that_the_other_directory_lacks_keeps_what_there_is(watch):
    look(watch, listing(old("1")), 1.0)
    watch.change(replace(MODEL, choice=VersionChoice("specific", versions=(7,))), Path("/elsewhere"))
    assert look(watch, listing(old("1")), 2.0).aspired is None


def test_change__another_rule_applies_to_what_is_incomplete(watch):
    look(watch, listing(old("1"), directory("2")), 1.0)
    watch.change(replace(MODEL, completeness="marker"), PATH)
    verdict = look(watch, listing(VersionDirectory(name="1", version=1), directory("2")), 9.0)
    assert versions(verdict) == [1]
    assert verdict.next_look is None


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 3.0),
            st.one_of(
                st.none(),
                st.dictionaries(st.sampled_from(["1", "2", "03", "3"]), st.integers(1, 2), max_size=4),
            ),
        ),
        max_size=25,
    )
)
def test_judge__never_aspires_what_is_not_there_or_still_changes(looks):
    """Random histories of directories that come, change and go, on storage that fails now and then."""
    watch, now, first_same, first = (
        ModelWatch(replace(MODEL, choice=VersionChoice("all")), PATH),
        0.0,
        {},
        True,
    )
    done = set()
    for step_s, found in looks:
        now += step_s
        if found is None:
            verdict = look(watch, ModelListing(problem="input/output error"), now)
            assert versions(verdict) == ([] if first else None)
            first = False
            continue
        for name in [name for name in first_same if name not in found]:
            del first_same[name]
        done &= set(found)
        for name, size in found.items():
            if first_same.get(name, (None,))[0] != size:
                first_same[name] = (size, now)
            if now >= first_same[name][1] + 2.0:
                done.add(name)
        directories = [directory(name, size=size, version=int(name)) for name, size in sorted(found.items())]
        verdict = look(watch, listing(*directories), now)
        first = False
        expected = {int(name): name for name in sorted(done)}
        assert {artifact.version: artifact.path.name for artifact in verdict.aspired} == expected
        assert set(verdict.waiting) == set(found) - done
