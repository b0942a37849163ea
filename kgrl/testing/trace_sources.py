"""The contract of trace sources."""

from __future__ import annotations

from kgrl.traces.source import TraceSource

__all__ = ["TraceSourceContract"]


class TraceSourceContract:
    """What every source of traces keeps. A subclass defines the fixture `source`, of some traces, not too many.

    Example:
        >>> import pytest
        >>> class TestMine(TraceSourceContract):
        ...     @pytest.fixture
        ...     def source(self) -> TraceSource: ...
    """

    def test_it_has_the_attributes_of_a_source(self, source: TraceSource) -> None:
        """It satisfies the protocol."""
        assert isinstance(source, TraceSource)

    def test_iterating_again_gives_the_same_traces(self, source: TraceSource) -> None:
        """Nothing is used up, no draw depends on what was drawn before, and the tally starts over."""
        first = list(source)
        counted = str(source.tally)
        assert first and first == list(source)
        assert counted == str(source.tally)

    def test_every_trace_is_a_walk_on_the_graph(self, source: TraceSource) -> None:
        """Clicks are links, back clicks have a page to go back to, and the source is named."""
        for trace in source:
            trace.check(source.graph)
            assert trace.source
