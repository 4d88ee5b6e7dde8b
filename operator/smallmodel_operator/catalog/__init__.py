"""Cards become options: variants, engines, sizes and licences, for one SmallModel.

Pure: values in, values out. No clock, no files, no network; whoever has the cards passes them.
May import `api` only. The cards that come with the project lie in `cards/` as plain YAML, which
`local` reads and the Helm chart ships.
"""
