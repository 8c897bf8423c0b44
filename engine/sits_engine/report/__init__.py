"""Self-contained HTML reports and their numbers as JSON.

`page` lays out a report from sections, tables and figures (one Jinja template, nothing loaded from the
network); `plots` draws the figures as SVG; `words` turns numbers into sentences; one module a report:
`series`, `training`, `assessment`, `model`, `shift`, `adaptation`, `comparison`.
"""
