"""Which courses suit a student: likeness of words (TF-IDF, cosine), courses that follow on from completed ones, and how
many others take them. Pure: knows no bindings and does no I/O."""

import math
import re
from collections import Counter
from dataclasses import dataclass

MAX_COURSES = 2000
MAX_TEXT_CHARACTERS = 4000
MAX_LIMIT = 100

# What each part adds to a score; together 1.
LIKENESS, FOLLOWING, POPULARITY = 0.6, 0.25, 0.15
# A word of the title says more than one of the description, a completed course more than one that was begun.
TITLE_WEIGHT = 3
COMPLETED_WEIGHT = 1.5
# Below this, two courses have hardly a word in common.
ALIKE = 0.1
# From this share of seats on, a course counts as sought after.
SOUGHT_AFTER = 0.5

WORD = re.compile(r"\w{2,}")
COMMON = frozenset(
    "an and are as at be by for from how in into is it its of on or that the this to we what with you your "
    "course courses introduction".split()
)


class Invalid(Exception):
    """What was handed over cannot be ranked."""


@dataclass(frozen=True)
class Taken:
    course_id: str
    title: str
    description: str
    completed: bool


@dataclass(frozen=True)
class Candidate:
    course_id: str
    title: str
    description: str
    prerequisites: list[str]
    capacity: int
    seats_taken: int


@dataclass(frozen=True)
class Recommendation:
    course_id: str
    score: float
    reasons: list[str]


def rank(taken: list[Taken], candidates: list[Candidate], limit: int) -> list[Recommendation]:
    """The best first; equal ones by their ids. Courses that are taken, full, or not open to the student are left out."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit has to be 1 to {MAX_LIMIT}")
    if len(taken) + len(candidates) > MAX_COURSES:
        raise Invalid(f"there are more than {MAX_COURSES} courses")
    known = {course.course_id for course in taken}
    completed = {course.course_id: course.title for course in taken if course.completed}
    open_ones = [
        course
        for course in candidates
        if course.course_id not in known
        and course.seats_taken < course.capacity
        and all(needed in completed for needed in course.prerequisites)
    ]
    vectors = _vectors([*taken, *candidates])
    ranked = [_judged(course, taken, completed, vectors) for course in open_ones]
    ranked.sort(key=lambda one: (-one.score, one.course_id))
    return ranked[:limit]


def _judged(course: Candidate, taken: list[Taken], completed: dict[str, str], vectors: dict) -> Recommendation:
    reasons = []
    weights = [COMPLETED_WEIGHT if one.completed else 1.0 for one in taken]
    likeness = [_cosine(vectors[course.course_id], vectors[one.course_id]) for one in taken]
    mean = sum(weight * like for weight, like in zip(weights, likeness)) / sum(weights) if taken else 0.0
    # The nearest course counts as much as all of them together: who has varied interests has interests.
    nearest = max(likeness, default=0.0)
    if nearest >= ALIKE:
        reasons.append(f"Similar to {taken[likeness.index(nearest)].title}")
    follows = [completed[needed] for needed in course.prerequisites]
    if follows:
        reasons.append(f"Follows on from {', '.join(follows)}")
    popularity = course.seats_taken / course.capacity
    if popularity >= SOUGHT_AFTER:
        reasons.append("Many others take it")
    score = LIKENESS * (mean + nearest) / 2 + FOLLOWING * bool(follows) + POPULARITY * popularity
    return Recommendation(course.course_id, round(min(score, 1.0), 6), reasons)


def _vectors(courses: list) -> dict[str, dict[str, float]]:
    """For each course its words, weighted by how rare they are, of length 1."""
    counts = {course.course_id: _words(course) for course in courses}
    in_courses = Counter(word for words in counts.values() for word in words)
    vectors = {}
    for course_id, words in counts.items():
        weighted = {word: count * math.log(1 + len(counts) / in_courses[word]) for word, count in words.items()}
        length = math.sqrt(sum(weight * weight for weight in weighted.values()))
        vectors[course_id] = {word: weight / length for word, weight in weighted.items()} if length else {}
    return vectors


def _words(course) -> Counter:
    words = Counter()
    for text, weight in ((course.title, TITLE_WEIGHT), (course.description, 1)):
        for word in WORD.findall(text[:MAX_TEXT_CHARACTERS].lower()):
            if word not in COMMON:
                words[_stem(word)] += weight
    return words


def _stem(word: str) -> str:
    """Makes one word of `compiler` and `compilers`; good enough for likeness."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    if len(other) < len(one):
        one, other = other, one
    return sum(weight * other[word] for word, weight in one.items() if word in other)
