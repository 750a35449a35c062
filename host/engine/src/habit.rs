//! How work of one function is best begun, by how it has come and how long it took so far: gathered, where it is, or each by itself.
//! What each of that means is `pool`'s business.

/// So often in a row there is nothing else where work comes by itself; and so much what is long weighs where all is long, of
/// which each is a fourth. A thread that lost its processor makes it seem long as well.
const SURELY: u32 = 16;
const LONG: u32 = SURELY / 4;
/// So much is begun otherwise than gathered until it is looked again.
const UNSEEN: u32 = 32;

/// How work is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With all that comes in at the same time, one after the other.
    Gathered,
    /// By whoever brings it: nothing else comes.
    Here,
    /// In a task of its own: it takes long.
    Apart,
}

/// What is known of a function.
#[derive(Debug, Default)]
pub(crate) struct Habit {
    /// How often in a row there was no more than one.
    alone: u32,
    /// What has taken long weighs so much, and what has not takes one off.
    long: u32,
    /// So much more is begun in these ways.
    here: u32,
    apart: u32,
}

impl Habit {
    /// How the next is begun.
    pub fn next(&mut self) -> Way {
        for (left, way) in [(&mut self.apart, Way::Apart), (&mut self.here, Way::Here)] {
            if *left > 0 {
                *left -= 1;
                return way;
            }
        }
        Way::Gathered
    }

    /// Notes how much was gathered, and whether the last of it took long.
    pub fn note(&mut self, gathered: u32, is_long: bool) {
        match gathered {
            0 => {}
            1 => self.alone = self.alone.saturating_add(1),
            _ => (self.alone, self.here) = (0, 0),
        }
        if self.alone >= SURELY {
            self.here = UNSEEN;
        }
        self.long = if is_long { self.long.saturating_add(LONG) } else { self.long.saturating_sub(gathered) };
        if self.long >= SURELY {
            self.apart = UNSEEN;
            // The next one that is long as well says so again.
            self.long = SURELY - LONG;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(notes: impl IntoIterator<Item = (u32, bool)>) -> Habit {
        let mut habit = Habit::default();
        notes.into_iter().for_each(|(gathered, is_long)| habit.note(gathered, is_long));
        habit
    }

    #[test]
    fn what_comes_by_itself_is_begun_where_it_is_and_looked_at_again() {
        assert_eq!(after([(1, false); 15]).next(), Way::Gathered);
        let mut alone = after([(1, false); 16]);
        assert!((0..UNSEEN).all(|_| alone.next() == Way::Here));
        assert_eq!(alone.next(), Way::Gathered);
        // One look is enough to go on so, and to cease.
        alone.note(1, false);
        assert_eq!(alone.next(), Way::Here);
        alone.note(2, false);
        assert_eq!(alone.next(), Way::Gathered);
    }

    #[test]
    fn what_comes_together_is_gathered() {
        let now_and_then = [1, 1, 1, 1, 1, 1, 1, 2].map(|gathered| (gathered, false));
        assert_eq!(after(now_and_then.repeat(10)).next(), Way::Gathered);
        // Somebody else has begun it.
        assert_eq!(after([(0, false); 100]).next(), Way::Gathered);
    }

    #[test]
    fn what_often_takes_long_is_begun_by_itself() {
        let mut long = after([(1, true); 4]);
        assert!((0..UNSEEN).all(|_| long.next() == Way::Apart));
        assert_eq!(long.next(), Way::Gathered);
        long.note(1, true);
        assert_eq!(long.next(), Way::Apart);
        let mut brief = after([(1, true); 4]);
        (0..UNSEEN).for_each(|_| assert_eq!(brief.next(), Way::Apart));
        brief.note(2, false);
        brief.note(1, true);
        assert_eq!(brief.next(), Way::Gathered);
    }

    #[test]
    fn a_thread_that_now_and_then_loses_its_processor_changes_nothing() {
        let notes = (0..1_000).map(|number| (2, number % 4 == 0));
        assert_eq!(after(notes).next(), Way::Gathered);
    }
}
