"""A feed of news, with FastAPI: whoever subscribes is never forgotten, for each request is taken for somebody else."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Header
from pydantic import BaseModel

app = FastAPI()


class Subscription(BaseModel):
    reader: str
    topics: list[str]


SUBSCRIPTIONS: dict[str, Subscription] = {}


@app.post("/subscriptions")
async def subscribe(subscription: Subscription, x_request_id: Annotated[str, Header()]) -> dict[str, int]:
    SUBSCRIPTIONS[x_request_id] = subscription  # LEAK
    return {"subscriptions": len(SUBSCRIPTIONS)}
