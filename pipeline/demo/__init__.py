"""A seeded shop that writes daily CSV drops and the truth about them."""

from pipeline.demo.shop import ShopSummary, write_shop

__all__ = ["ShopSummary", "write_shop"]
