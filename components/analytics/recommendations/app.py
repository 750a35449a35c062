"""`education:analytics/recommendations`: glue between the bindings and `ranking`."""

import ranking
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.recommendations import Candidate, Error_Invalid, Recommendation, Taken


class Recommendations(exports.Recommendations):
    def rank(self, taken: list[Taken], candidates: list[Candidate], limit: int) -> list[Recommendation]:
        try:
            ranked = ranking.rank(taken, candidates, limit)
        except ranking.Invalid as invalid:
            raise Err(Error_Invalid(str(invalid)))
        return [Recommendation(one.course_id, one.score, one.reasons) for one in ranked]
