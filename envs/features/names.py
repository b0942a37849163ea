"""Names of all features, in the order of their columns, and what each of them means.

Kernels find their columns by these names (`COLUMN`, `GLOBAL`), so a feature is added here, in one place.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from kgrl.builtin import PROJECTED
from kgrl.traces.trace import SEEN

__all__ = [
    "CLIP",
    "COLUMN",
    "FEATURES",
    "FEATURE_VERSION",
    "GLOBAL",
    "GLOBAL_FEATURES",
    "GLOBAL_KNOWLEDGE_FEATURES",
    "GOAL_FEATURES",
    "KNOWLEDGE_FEATURES",
    "LEARNING_FEATURES",
    "LINK_FEATURES",
    "PATH_FEATURES",
    "PATH_ROWS",
    "PATH_WIDTH",
    "SAME_MEANING_SINCE",
    "TOPIC_FEATURES",
    "TOPIC_GOAL_FEATURES",
    "TRANSITION_FEATURES",
    "WALK_FEATURES",
]

FEATURE_VERSION = 5
"""Raised whenever a feature is added, removed or changes its meaning; saved policies name what they read."""

SAME_MEANING_SINCE = 4
"""The version since which no feature has changed its meaning: policies of that and later versions can be read."""

TOPIC_FEATURES = (
    "log_in_degree",  # ln(1 + links to it) / 5
    "log_out_degree",  # ln(1 + links from it) / 5
    "log_pagerank",  # ln(topics x PageRank) / 5
    "log_degree",  # ln(1 + neighbours) / 5
)
"""What is known of a topic by itself."""

LINK_FEATURES = (
    "linked_back",  # 1 where the target links back to the page
    "log_common",  # ln(1 + neighbours they share) / 4
    "log_adamic_adar",  # ln(1 + their Adamic-Adar index) / 3
    "overlap",  # 4 x shared neighbours / all neighbours of the two
    "similarity",  # cosine of the two topics' embeddings
    "similarity_rank",  # rank of it among the page's links, 0 for the largest to 1
    "in_degree_rank",  # rank of the target's in-degree among the page's links
    "same_category",  # 1 where the two have the same category
    "mentioned",  # 1 where the page's text mentions it
    "log_order",  # ln(1 + links mentioned before it) / 4; 0 without a mention
    "log_place",  # ln(1 + words before its first mention) / ln(20,001); 1 without a mention
    "place_rank",  # rank of its first mention among the page's links, 0 for the first to 1
    "log_page_links",  # ln(1 + links of the page) / 5
)
"""What is known of a link from the page to a candidate; where there is no such link, ranks and `log_place` are 1, the
rest 0."""

TRANSITION_FEATURES = (
    "log_clicks",  # ln(1 + clicks on the link) / 3
    "log_click_share",  # ln(smoothed share of the page's clicks x its links) / 3
    "click_rank",  # 1 / (1 + rank of that share among the page's links)
    "log_page_clicks",  # ln(1 + clicks on the page) / 6
    "lift",  # half the log ratio of clicks to the target, to those expected if links were clicked uniformly
    "log_target_clicks",  # ln(1 + clicks to the target) / 5
    "log_lift_share",  # ln(share of the page's links by lift alone x its links) / 3
)
"""What readers did with a link; all are 0 where nothing was counted."""

PATH_FEATURES = (
    "log_clicks_after",  # ln(1 + clicks on it after the same previous page) / 2
    "click_share_after",  # those clicks / (3 + all clicks on the page after that previous page)
    "log_page_clicks_after",  # ln(1 + all clicks on the page after that previous page) / 3
    "previous_similarity",  # cosine to the previous page
    "nearest_similarity",  # largest cosine to a page below the current one on the stack, -.2 at least
    "approach",  # cosine to the page minus cosine to the previous page
    "start_similarity",  # cosine to the first page
    "departure",  # cosine to the page minus cosine to the first page
    "joined_previous",  # 1 where it is linked with the previous page in either direction
    "joined_stack",  # number of pages below on the stack that it is linked with / 3
    "on_stack",  # 1 where it is on the stack
    "left",  # 1 where it was opened and left by a back click
    "left_similarity",  # largest cosine to a page that was left by a back click, 0 at least
    "joined_left",  # number of pages left that it is linked with / 3
    "passed_over",  # number of earlier pages that link to it / 3
    "log_pages_left",  # ln(1 + pages that were left by back clicks) / 2
    "log_depth",  # ln(1 + pages on the stack) / 2
    "start_category",  # 1 where it has the category of the first page
    "page_outlook",  # mean cosine to the page's targets
    "previous_outlook",  # mean cosine to the previous page's targets
    "intent",  # sum over the clicks on the stack of its cosine to what was clicked minus that to the page's mean target
    "last_intent",  # the same for the last click alone
)
"""How a candidate relates to the path."""

GOAL_FEATURES = (
    "goal_similarity",  # cosine to the goal
    "goal_approach",  # that minus the page's
    "goal_gap",  # that minus the largest among the candidates
    "links_to_goal",  # 1 where it links to the goal
    "goal_links_back",  # 1 where the goal links to it
    "log_goal_common",  # ln(1 + two-step paths between it and the goal, in any direction) / 4
    "log_goal_paths",  # ln(1 + two-step paths from it to the goal) / 3
    "goal_category",  # share of the goal's topics that have its category
    "is_goal",  # 1 where it belongs to the goal
)
"""How a candidate relates to the goal; all are 0 where there is none."""

TOPIC_GOAL_FEATURES = (
    "goal_similarity",
    "links_to_goal",
    "goal_links_back",
    "log_goal_common",
    "log_goal_paths",
    "goal_category",
    "is_goal",
)
"""Those that depend on the topic and the goal alone, in the order in which tables of goals keep them."""

WALK_FEATURES = ("linked", *TOPIC_FEATURES, *LINK_FEATURES, *TRANSITION_FEATURES, *PATH_FEATURES, *GOAL_FEATURES)
"""The columns of a walk's candidates; `linked` is 1 where the page links to the candidate."""

LEARNING_FEATURES = (
    "log_learned_links",  # ln(1 + links with the learned set) / 5
    "closure",  # share of its links that lead to the learned set
    "aim_similarity",  # cosine to the mean embedding of the goal, or of the nucleus where there is no goal
    "learned_similarity",  # cosine to the mean embedding of the learned set
    "recent_similarity",  # cosine to the mean embedding of the last 8 topics learned
    "nearest_learned_similarity",  # largest cosine to a topic learned
    "loss",  # its probe loss minus the curriculum's latest, nats per token; 0 where not measured
    "progress",  # drop of its probe loss between the last two measurements, nats per token
    "measured",  # 1 where its probe loss is known
    "neighbour_loss",  # mean of `loss` over its measured neighbours; 0 where there are none
    "neighbour_progress",  # mean of `progress` over its measured neighbours
    "neighbours_measured",  # share of its neighbours that are measured
    "age",  # 1 for the topic that has been on the frontier longest, towards 0 for the latest
    "coherence",  # 5 x how much more alike to its linked topics it is than to topics at large
)
"""What a curriculum adds to the features of a walk; all are 0 where nothing is learned. Neighbours are looked at up to
128 a topic, evenly spaced in topic order."""

KNOWLEDGE_FEATURES = (
    "log_exposures",  # ln(1 + lessons that read it) / 3
    "since_read",  # ln(1 + thousands of tokens since it was last read) / 5; 0 where it never was
    "known",  # how well it is known, in levels at which it would be solid; 0 where not estimated
    "known_trend",  # change of that between its last two estimates; 0 without two
    "faded",  # 1 where it was solid before; no candidate is solid now
)
"""What a curriculum adds whose topics have to be known (`kgrl.curriculum.mastery.Mastery`); all are 0 where a topic is
solid once it was read."""

FEATURES = (*WALK_FEATURES, *LEARNING_FEATURES, *KNOWLEDGE_FEATURES)
"""Columns of `candidates`."""

# Compiled code reads a named tuple of numbers as constants. mypy cannot see fields that are made from data.
COLUMN: Any = namedtuple("Columns", FEATURES)(*range(len(FEATURES)))
"""The column of each feature in `candidates`: `COLUMN.closure`."""

GLOBAL_KNOWLEDGE_FEATURES = (
    "unknown_share",  # share of topics that were read and are not solid
)
"""What is known of the state where topics have to be known; 0 where a topic is solid once it was read."""

GLOBAL_FEATURES = (
    "has_goal",  # 1 where there is a goal
    "loss",  # latest held-out loss / 10 nats per token: mean, else target, else self probe, else training loss
    "loss_drop",  # first such loss minus the latest, nats per token
    "loss_trend",  # drop of that loss in the last expansion, in tenths of a nat per token
    "budget_left",  # share of the token budget that is left
    "learned_share",  # share of topics learned
    "log_learned",  # ln(1 + topics learned) / 10
    "log_frontier",  # ln(1 + candidates) / 10
    *GLOBAL_KNOWLEDGE_FEATURES,
)
"""Entries of `global`; a walk in which nothing is learned has only `has_goal`."""

GLOBAL: Any = namedtuple("Entries", GLOBAL_FEATURES)(*range(len(GLOBAL_FEATURES)))
"""The place of each feature in `global`: `GLOBAL.budget_left`."""

CLIP = 5.0
"""Every entry of an observation lies in [-CLIP, CLIP]."""

PATH_ROWS = SEEN + 1
"""Rows of `path`: the last 12 pages opened, in order, and the current one."""

PATH_WIDTH = 2 * PROJECTED + len(TOPIC_FEATURES) + len(LINK_FEATURES) + len(TRANSITION_FEATURES) + 1
"""Columns of `path`: the page's projected embedding; the mean of the links of the page opened before it (in the last
row: of its own links), projected; its topic features; the features of the link from the page opened before it, which
say what kind of links the reader picks; and 1 where it is on the stack. Zeros where there is no page."""
