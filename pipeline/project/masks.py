"""The functions that make personal data presentable; pipeline/warehouse/masks.py gives them to the engine."""

from __future__ import annotations

MASKS = {
    "pii_token": "A keyed hash (HMAC-SHA256, 64 hex digits): the same text gives the same token, so that tables can be joined",
    "mask_name": "Ada King -> A*** K***",
    "mask_email": "ada@example.com -> a***@e***.com",
    "mask_phone": "+49 170 1234567 -> ***67",
    "mask_text": "Any other text -> ***",
}
TOKEN = "pii_token"
