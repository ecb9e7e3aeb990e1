"""The pages of the marketing site that visitors come from."""

PAGES = (
    "https://example.com/",
    "https://example.com/pricing",
    "https://example.com/features",
    "https://example.com/about",
    "https://example.com/contact",
    "https://example.com/blog",
    "https://example.com/demo",
    "https://example.com/signup",
    "https://example.com/products/widget",
    "https://example.com/solutions/sales",
)
