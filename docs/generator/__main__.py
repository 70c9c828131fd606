"""`python docs/generator` writes the generated pages of docs/reference/ again."""

from all_pages import write

write()
