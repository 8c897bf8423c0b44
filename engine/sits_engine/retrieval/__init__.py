"""Search among photo vectors: which photos look like a place, and how often the search is right.

`index` is the vectors with their table and the search in them (FAISS), `folder` writes and reads them,
`build` brings a folder up to date with a set of photos, `queries` turns places of a series into vectors,
`answers` joins the two, `recall` measures.
"""
