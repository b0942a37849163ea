"""SmolLM2 as the judge of titles, and as a walker on real text."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch

from kgrl.data import load_corpus
from kgrl.data.traces.walkers import ModelWalker, WalkSource
from kgrl.learners.decoder.titles import ModelTitleScorer

pytestmark = pytest.mark.integration

CONTEXT = "Countries of Europe:\n- Germany\n- "


@pytest.fixture(scope="module")
def score() -> ModelTitleScorer:
    return ModelTitleScorer()


@pytest.fixture(scope="module")
def exact() -> ModelTitleScorer:
    """In single precision: how far two orders of bfloat16 sums lie apart depends on the processor, .14 nats on one."""
    with patch("kgrl.learners.decoder.titles.best_dtype", return_value=torch.float32):
        return ModelTitleScorer()


def test_scores_are_the_model_s_own(exact: ModelTitleScorer) -> None:
    """Laid end to end, titles are scored as they are one by one with the model's ordinary forward."""
    from kgrl.learners.decoder.models import load_pretrained

    model, tokenizer = load_pretrained("smollm2", torch.float32)
    titles = ["France", "A very long title, with a comma", "Toaster", "Côte d'Ivoire"]
    expected = []
    for title in titles:
        prefix = [exact._document, *tokenizer(CONTEXT.rstrip(" "))["input_ids"]]
        tokens = tokenizer(f" {title}\n")["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([prefix + tokens])).logits[0].double()
        likelihoods = torch.log_softmax(logits[len(prefix) - 1 : -1], dim=1)
        expected.append(float(likelihoods.gather(1, torch.tensor(tokens)[:, None]).mean()))
    assert np.allclose(exact(CONTEXT, titles), expected, atol=1e-4)


def test_a_score_does_not_depend_on_the_other_titles(exact: ModelTitleScorer) -> None:
    """Also where there are so many that they are scored in groups."""
    titles = ["France", "Toaster", *(f"Article number {i} of a long list" for i in range(150))]
    assert np.allclose(exact(CONTEXT, titles)[:2], exact(CONTEXT, titles[:2]), atol=1e-4)


def test_what_fits_is_likelier(score: ModelTitleScorer) -> None:
    scores = score(CONTEXT, ["France", "Poland", "Toaster", "Jazz"])
    assert scores[:2].min() > scores[2:].max() + 0.5


def test_smollm2_walks_on_real_text_and_prefers_links_to_other_topics(score: ModelTitleScorer) -> None:
    """On a page, the titles of its links are likelier than as many drawn from the whole encyclopaedia."""
    corpus = load_corpus("vital")
    source = WalkSource(ModelWalker(corpus, score), walks=2, length=5)
    traces = list(source)
    assert traces == list(source)
    rng = np.random.default_rng(0)
    gaps = []
    for trace in traces:
        trace.check(corpus.graph)
        for click in trace.clicks():
            links = corpus.graph.out(click.stack[-1])[:12]
            titles = [corpus.graph.titles[t] for t in (*links, *rng.integers(len(corpus.graph), size=len(links)))]
            scores = score(source.walker.context(click.stack[-1], click.seen), titles)
            gaps.append(scores[: len(links)].mean() - scores[len(links) :].mean())
    assert len(gaps) >= 4 and np.mean(gaps) > 0.3
