"""The rules of the ranking: PYTHONPATH=. python3 -m unittest discover -s tests"""

import unittest

from ranking import MAX_COURSES, Candidate, Invalid, Taken, rank


def candidate(course_id, title, description="", prerequisites=(), capacity=10, seats_taken=0):
    return Candidate(course_id, title, description, list(prerequisites), capacity, seats_taken)


COMPILERS = Taken("c", "Compilers", "Lexing, parsing and code generation", False)
DONE = Taken("c", "Compilers", "Lexing, parsing and code generation", True)


def ids(recommendations):
    return [one.course_id for one in recommendations]


class Ranking(unittest.TestCase):
    def test_what_is_like_a_taken_course_comes_first(self):
        others = [candidate("a", "Medieval towns", "Guilds and walls"), candidate("b", "Parsing", "Compiler lexing")]
        ranked = rank([COMPILERS], others, 10)
        self.assertEqual(ids(ranked), ["b", "a"])
        self.assertEqual(ranked[0].reasons, ["Similar to Compilers"])
        self.assertEqual(ranked[1].reasons, [])
        self.assertEqual(ranked[1].score, 0.0)

    def test_of_whom_nothing_is_known_it_is_the_others_that_count(self):
        ranked = rank([], [candidate("a", "One", seats_taken=1), candidate("b", "Two", seats_taken=9)], 10)
        self.assertEqual(ids(ranked), ["b", "a"])
        self.assertEqual(ranked[0].reasons, ["Many others take it"])

    def test_a_course_is_open_when_what_it_needs_is_completed(self):
        later = candidate("o", "Optimisation", prerequisites=["c"])
        self.assertEqual(rank([COMPILERS], [later], 10), [])
        self.assertEqual(rank([DONE], [later], 10)[0].reasons, ["Follows on from Compilers"])

    def test_taken_and_full_courses_are_left_out(self):
        full = candidate("f", "Compilers too", capacity=5, seats_taken=5)
        none = candidate("n", "No seats at all", capacity=0)
        self.assertEqual(rank([COMPILERS], [candidate("c", "Compilers"), full, none], 10), [])

    def test_equal_ones_stand_by_their_ids_and_the_limit_holds(self):
        same = [candidate(str(number), "Same") for number in (3, 1, 2)]
        self.assertEqual(ids(rank([], same, 2)), ["1", "2"])

    def test_scores_stay_between_0_and_1(self):
        twin = candidate("t", DONE.title, DONE.description, ["c"], capacity=2, seats_taken=1)
        (one,) = rank([DONE], [twin], 1)
        self.assertGreater(one.score, 0.85)
        self.assertLessEqual(one.score, 1.0)

    def test_text_that_has_no_words_is_like_nothing(self):
        empty = Taken("e", "", "?!", False)
        self.assertEqual(rank([empty], [candidate("a", "?", "of the")], 10)[0].score, 0.0)

    def test_what_is_out_of_bounds_is_refused(self):
        for limit in (0, 101):
            with self.assertRaises(Invalid):
                rank([], [], limit)
        with self.assertRaises(Invalid):
            rank([], [candidate(str(number), "x") for number in range(MAX_COURSES + 1)], 10)


if __name__ == "__main__":
    unittest.main()
