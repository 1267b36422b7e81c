"""What only the pages of reports need of style."""

STYLE = """
.pairs { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 1rem; }
@media (max-width: 45rem) { .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.pairs img { width: 50%; height: auto; vertical-align: bottom; }
.pairs span { display: block; font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere; }
.pairs b { color: var(--ink); }
.names { margin: 0; padding-left: 1.8rem; font-size: .875rem; overflow-wrap: anywhere; }
.colour::before { content: attr(data-shape); color: var(--own); margin-right: .4rem; }
"""
