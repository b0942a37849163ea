"""Many simulated curricula at once, compiled: what `Curriculum` and `SimulatedLearner` do, on arrays.

Every function does for one row what those do for one curriculum; the tests compare the two step by step. A step costs
in proportion to the links of the topics learned, the frontier and the slots.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from kgrl.curriculum.research_kernels import gather_into, neighbourhood_into
from kgrl.envs.features.curriculum_kernels import observe_into
from kgrl.learners.simulated.kernels import fade, loss, style_drop, teach

__all__ = ["advance_rows"]


@njit(cache=True, nogil=True, error_model="numpy")
def _learn_topic(tables, known, courses, row, topic):
    """Move a topic to the learned set and discover its neighbours."""
    learned, links = courses.learned[row], known.links_to_learned[row]
    if learned[topic]:
        return
    learned[topic] = True
    known.learned[row, known.n_learned[row]] = topic
    known.n_learned[row] += 1
    for at in range(tables.near_starts[topic], tables.near_starts[topic + 1]):
        other = tables.near[at]
        links[other] += 1
        if links[other] == 1 and not learned[other]:
            courses.discovered[row, courses.n_discovered[row]] = other
            courses.n_discovered[row] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(material, curves, courses, row, topics, out):
    """Write the probe losses of topics, NaN where there is none or it has no probe passage."""
    fit, total = courses.fit[row], courses.tokens[row]
    style = style_drop(curves.values[fit], total)
    for at in range(len(topics)):
        topic = topics[at]
        passage = -1 if topic < 0 else material.own_probe[topic]
        out[at] = np.nan
        if passage >= 0:
            reached = courses.effective[row, topic] * courses.scale[row]
            out[at] = loss(curves, fit, courses.noise[row], style, total, reached, topic, passage)


@njit(cache=True, nogil=True, error_model="numpy")
def _measure_fixed(material, curves, courses, row, out):
    """Write the losses of the fixed probes."""
    probes = material.probes[courses.task[row]]
    for probe in range(probes.shape[0]):
        _measure(material, curves, courses, row, probes[probe], out[probe])


@njit(cache=True, nogil=True, error_model="numpy")
def _note(known, courses, row, topics, before, after):
    """Take the losses of topics into the profile, each topic's once for each expansion."""
    stamp = known.step[row] + 1
    for at in range(len(topics)):
        topic = topics[at]
        if topic >= 0 and courses.stamp[row, topic] != stamp:
            courses.stamp[row, topic] = stamp
            level = known.level[row, topic]
            known.previous[row, topic] = before[at] if np.isnan(level) else level
            known.level[row, topic] = after[at]


@njit(cache=True, nogil=True, error_model="numpy")
def _note_all(material, known, courses, lessons, row):
    """Take all losses into the profile."""
    probes = material.probes[courses.task[row]]
    for probe in range(probes.shape[0]):
        _note(known, courses, row, probes[probe], lessons.before[row, probe], lessons.after[row, probe])
    _note(known, courses, row, lessons.own[row], lessons.own_before[row], lessons.own_after[row])


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(material, research, courses, lessons, row):
    """Write the passages of a lesson and how many of their tokens there is room for."""
    tokens = material.tokens[material.calibration[courses.fit[row]]]
    room = min(material.lesson, material.budget - courses.tokens[row])
    out, topics = lessons.passages[row], lessons.topics[row]
    n = gather_into(research, courses.used[row], topics, lessons.n_topics[row], tokens, room, out)
    lessons.n_passages[row] = n
    total = 0
    for at in range(n):
        total += tokens[out[at]]
    lessons.tokens[row] = min(total, room)


@njit(cache=True, nogil=True, error_model="numpy")
def _teach(material, curves, kin, courses, lessons, row):
    """Teach the lesson that was gathered."""
    fit, total = courses.fit[row], courses.tokens[row]
    tokens, values = material.tokens[material.calibration[fit]], curves.values[fit]
    n, left = lessons.n_passages[row], lessons.tokens[row]
    topics, counts, read = np.empty(n, dtype=np.int32), np.zeros(n), np.int64(0)
    style, lost = style_drop(values, total), 0.0
    for at in range(n):
        passage = lessons.passages[row, at]
        courses.used[row, passage] = True
        topic, count = material.topics[passage], min(tokens[passage], left)
        left -= count
        if material.measure_training:
            reached = courses.effective[row, topic] * courses.scale[row]
            lost += count * loss(curves, fit, courses.noise[row], style, total, reached, topic, passage)
        place = 0
        while place < read and topics[place] != topic:
            place += 1
        if place == read:
            topics[read] = topic
            read += 1
        counts[place] += count
    lessons.train_loss[row] = lost / lessons.tokens[row]
    courses.scale[row] = fade(values[8], lessons.tokens[row], courses.scale[row], courses.effective[row])
    teach(values, kin, courses.scale[row], courses.effective[row], topics, counts, read)
    courses.tokens[row] += lessons.tokens[row]


@njit(cache=True, nogil=True, error_model="numpy")
def _keep_reached(material, lessons, row):
    """A topic counts as learned only if a passage of its own was reached before the budget ended."""
    topics, kept = lessons.topics[row], 1
    for at in range(1, lessons.n_topics[row]):
        for passage in lessons.passages[row, : lessons.n_passages[row]]:
            if material.topics[passage] == topics[at]:
                topics[kept] = topics[at]
                kept += 1
                break
    lessons.n_topics[row] = kept


@njit(cache=True, nogil=True, error_model="numpy")
def _expand(tables, material, research, kin, curves, known, courses, lessons, row):
    """Learn the neighbourhood that is in `lessons.topics`."""
    own = lessons.own[row]
    own[:] = -1
    if material.measure_own:
        for at in range(lessons.n_topics[row]):
            topic = lessons.topics[row, at]
            own[at] = topic if material.own_probe[topic] >= 0 else -1
    if known.step[row] == 0:
        _measure_fixed(material, curves, courses, row, lessons.after[row])
    lessons.before[row] = lessons.after[row]
    _measure(material, curves, courses, row, own, lessons.own_before[row])
    _gather(material, research, courses, lessons, row)
    _teach(material, curves, kin, courses, lessons, row)
    _measure_fixed(material, curves, courses, row, lessons.after[row])
    _measure(material, curves, courses, row, own, lessons.own_after[row])
    _keep_reached(material, lessons, row)
    for at in range(lessons.n_topics[row]):
        _learn_topic(tables, known, courses, row, lessons.topics[row, at])
    _note_all(material, known, courses, lessons, row)
    known.step[row] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _observe(tables, aims, material, known, courses, row, slot_of, pool, room, shown):
    """Drop what was learned from the frontier and observe the candidates."""
    discovered, kept, n = courses.discovered[row], np.int64(0), np.int64(0)  # 0 would compile what it goes to twice
    trainable, learned = material.trainable[courses.task[row]], courses.learned[row]
    for at in range(courses.n_discovered[row]):
        topic = discovered[at]
        if not learned[topic]:
            discovered[kept] = topic
            kept += 1
            if trainable[topic]:
                room[n] = topic
                n += 1
    courses.n_discovered[row], courses.n_candidates[row] = kept, n
    known.state[row, 3] = 1.0 - courses.tokens[row] / material.budget
    observe_into(tables, aims, known, row, room, n, slot_of, pool, shown)


@njit(cache=True, nogil=True, error_model="numpy")
def _clear(known, courses, row):
    """Forget everything."""
    courses.learned[row] = False
    courses.used[row] = False
    courses.effective[row] = 0.0
    courses.stamp[row] = 0
    courses.n_discovered[row], courses.tokens[row], courses.scale[row] = 0, 0, 1.0
    known.n_learned[row], known.summed[row], known.step[row] = 0, 0, 0
    known.links_to_learned[row] = 0
    known.level[row] = np.nan
    known.previous[row] = np.nan
    known.total_similarity[row] = 0.0
    known.nearest_similarity[row] = -1.0
    known.compared[row] = 0
    known.learned_sum[row] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _set_nucleus(nucleus, lessons, row):
    """Put the nucleus where a neighbourhood is learned from."""
    n = 0
    while n < len(nucleus) and nucleus[n] >= 0:
        lessons.topics[row, n] = nucleus[n]
        n += 1
    lessons.n_topics[row] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_level(known, courses, row, topics):
    """Sum and number of the losses measured around the nucleus; topics that were counted are marked."""
    total, count = 0.0, 0
    for topic in topics:
        if topic >= 0 and courses.stamp[row, topic] == 1 and not np.isnan(known.level[row, topic]):
            total, count = total + known.level[row, topic], count + 1
            courses.stamp[row, topic] = -1
    return total, count


@njit(cache=True, nogil=True, error_model="numpy")
def _note_first_loss(material, known, courses, lessons, row):
    """The mean of all topics measured around the nucleus is the first loss."""
    total, count = _mean_level(known, courses, row, lessons.own[row])
    probes = material.probes[courses.task[row]]
    for probe in range(probes.shape[0]):
        more, counted = _mean_level(known, courses, row, probes[probe])
        total, count = total + more, count + counted
    known.state[row, :3] = total / count if count else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _mean(values):
    """The mean of what is not NaN; NaN where nothing is."""
    total, count = 0.0, 0
    for value in values:
        if not np.isnan(value):
            total += value
            count += 1
    return total / count if count else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _note_losses(known, lessons, row):
    """Keep the first, previous and latest loss: the first fixed probe's that was measured, or the neighbourhood's."""
    before, after = np.nan, np.nan
    for probe in range(lessons.before.shape[1]):
        if np.isnan(before):
            before, after = _mean(lessons.before[row, probe]), _mean(lessons.after[row, probe])
    if np.isnan(before):
        before, after = _mean(lessons.own_before[row]), _mean(lessons.own_after[row])
    if np.isnan(before):
        after = lessons.train_loss[row]
        before = known.state[row, 2] if known.step[row] > 2 else after
    if known.step[row] == 2:
        known.state[row, 0] = before
    known.state[row, 1], known.state[row, 2] = before, after


# Threads of Python share the rows: a parallel loop of numba's would take as long to compile as all it calls.
@njit(cache=True, nogil=True, error_model="numpy")
def advance_rows(
    rows, picks, thread, tables, aims, material, research, kin, curves, known, courses, lessons, scratch, shown
):
    """Let some curricula learn the neighbourhood of a topic each, or begin anew, and observe them.

    Those that begin know nothing and learn their nucleus; their tasks, fits and seeds are set before.

    Args:
        rows: Which curricula, `[n]`.
        picks: The topics, -1 for those that begin, `[n]`.
        thread: The row of `scratch` to work in.
        tables: The graph.
        aims: What the tasks work towards.
        material: What is taught and measured.
        research: What research looks up.
        kin: Whom topics teach.
        curves: The learners' curves.
        known: What observations are made from.
        courses: The rest of the curricula's state.
        lessons: Their latest expansions.
        scratch: Rows to work in, one for each thread.
        shown: Where observations go to.
    """
    slot_of, pool, room = scratch.slot_of[thread], scratch.pool[thread, 0], scratch.pool[thread, 1]
    for at in range(len(rows)):
        row, pick = rows[at], picks[at]
        if pick < 0:
            _clear(known, courses, row)
            known.aim[row] = courses.task[row]
            _set_nucleus(material.nuclei[courses.task[row]], lessons, row)
        else:
            trainable, out = material.trainable[courses.task[row]], lessons.topics[row, : material.neighbourhood]
            lessons.n_topics[row] = neighbourhood_into(research, courses.learned[row], trainable, pick, out)
        _expand(tables, material, research, kin, curves, known, courses, lessons, row)
        if pick < 0:
            _note_first_loss(material, known, courses, lessons, row)
        else:
            _note_losses(known, lessons, row)
        _observe(tables, aims, material, known, courses, row, slot_of, pool, room, shown)
