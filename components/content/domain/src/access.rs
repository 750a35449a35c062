//! Who uploads to a course and who reads its content.

/// Who asks, and what they ask about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The account's id.
    pub user_id: &'a str,
    /// Whether the account is an admin.
    pub admin: bool,
    /// The teacher of the course.
    pub teacher_id: &'a str,
    /// Whether the course is published.
    pub course_published: bool,
}

impl Asked<'_> {
    /// Whether they may upload to the course, and read what is not published yet.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.admin || self.user_id == self.teacher_id
    }

    /// Whether they may know what content the course has.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.course_published || self.may_change()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teachers_change_their_own_courses_and_everybody_reads_published_ones() {
        let asked = |user_id, admin, course_published| Asked { user_id, admin, teacher_id: "t", course_published };
        assert!(asked("t", false, false).may_change());
        assert!(asked("a", true, false).may_change());
        assert!(!asked("u", false, true).may_change());
        assert!(asked("u", false, true).may_read());
        assert!(!asked("u", false, false).may_read());
        assert!(asked("t", false, false).may_read());
    }
}
