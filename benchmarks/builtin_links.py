"""Make kgrl/builtin/links-*.safetensors: the links of the vital articles, found by mention with MiniLM.

    python benchmarks/builtin_links.py

So a corpus's links, its fingerprint and the calibrations fitted to it do not depend on the encoder of a run, and the
first use of a corpus waits neither for MiniLM nor for the search for mentions. A file belongs to one file of leads, by
its digest. It takes minutes for each language, most of them MiniLM's.
"""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from kgrl.builtin import FOLDER
from kgrl.data.text.build import build_corpus, with_links
from kgrl.data.text.linking import find_links
from kgrl.data.wikimedia.vital import LANGUAGES, find_leads, links_file, read_leads, vital_name
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import file_digest, replacing


def main() -> None:
    encoder = Encoder("minilm")
    for language in LANGUAGES:
        name, path = vital_name(language), find_leads(language)
        leads = read_leads(path)
        unlinked = build_corpus(name, leads.titles, leads.categories, leads.texts, language=language)
        embeddings = embed_corpus(unlinked, encoder)[1]
        graph = with_links(unlinked, *find_links(leads.titles, leads.texts, embeddings, leads.aliases)).graph
        # Numbers of topics are below 2^16, and the graph has its links in the order of their sources.
        tensors = {"degrees": np.diff(graph.indptr).astype(np.uint16), "targets": graph.indices.astype(np.uint16)}
        about = {"leads": file_digest(path), "encoder": encoder.fingerprint}
        with replacing(FOLDER / links_file(name)) as temporary:
            save_file(tensors, temporary, metadata=about)
        print(f"{name}: {graph.n_links:,} links, graph {graph.fingerprint}")


if __name__ == "__main__":
    main()
