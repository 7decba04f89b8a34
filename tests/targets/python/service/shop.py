"""A shop's orders, with Flask: each answer is kept for whoever asks twice, and none is ever given up."""

from __future__ import annotations

import time
from functools import lru_cache

from flask import Flask, Response, jsonify, request

app = Flask(__name__)

# By the id of the request.
ANSWERS: dict[str, dict[str, object]] = {}


@app.post("/orders")
def order() -> Response:
    request_id = request.headers["X-Request-Id"]
    answer = ANSWERS.get(request_id)
    if answer is None:
        lines = request.get_json()["lines"]
        total = sum(price(line["article"]) * line["count"] for line in lines)
        answer = {"number": len(ANSWERS), "total": total, "lines": lines, "at": time.time()}
        ANSWERS[request_id] = answer  # LEAK
    return jsonify(answer)


@app.get("/prices/<int:article>")
def prices(article: int) -> Response:
    return jsonify({"article": article, "price": price(article)})


@lru_cache(maxsize=1_000)
def price(article: int) -> int:
    return 100 + article % 900
