//! Draws spans of time as rows of bars: pure text, from times alone. What the rows are is up to the caller.

/// The longest label that is shown whole, in characters.
const MAX_LABEL: usize = 28;
/// The narrowest bars, in characters; lines grow longer than asked for before they get narrower than this.
const MIN_BAR: usize = 12;

/// What a stretch of a row shows. Where several share one character, the later in this order is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// Nothing runs: a delay, a timer, a signal that has not come.
    Wait,
    /// An attempt that runs, or succeeded.
    Attempt,
    /// The same of a compensation.
    Undo,
    /// An attempt that did not succeed.
    Failed,
}

impl Mark {
    pub(super) const ALL: [Self; 4] = [Self::Attempt, Self::Failed, Self::Undo, Self::Wait];

    pub(super) fn symbol(self, ascii: bool) -> char {
        match (self, ascii) {
            (Self::Wait, false) => '░',
            (Self::Attempt, false) => '█',
            (Self::Undo, false) => '▒',
            (Self::Failed, false) => '▓',
            (Self::Wait, true) => '.',
            (Self::Attempt, true) => '#',
            (Self::Undo, true) => '=',
            (Self::Failed, true) => 'x',
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Attempt => "attempt",
            Self::Undo => "compensation",
            Self::Failed => "failed attempt",
        }
    }
}

/// A stretch of a row, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub from_ms: u64,
    pub to_ms: u64,
    pub mark: Mark,
}

/// One line of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// On the left.
    pub label: String,
    pub stretches: Vec<Stretch>,
    /// On the right.
    pub note: String,
}

/// What is drawn upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    /// The time of the left edge, in milliseconds since the Unix epoch.
    pub from_ms: u64,
    /// The time of the right edge.
    pub to_ms: u64,
    /// How long lines may be, in characters.
    pub columns: usize,
    /// Without characters that not every terminal has.
    pub ascii: bool,
}

/// One line for each row, all on one scale; labels and notes are aligned.
pub(super) fn draw(rows: &[Row], canvas: Canvas) -> Vec<String> {
    let labels: Vec<String> = rows.iter().map(|row| label(&row.label, canvas.ascii)).collect();
    let label_width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    let note_width = rows.iter().map(|row| row.note.chars().count()).max().unwrap_or_default();
    let width = canvas.columns.saturating_sub(label_width + note_width + 2).max(MIN_BAR);
    let line = |(row, label): (&Row, &String)| {
        let bar: String = bar(row, canvas, width).into_iter().collect();
        format!("{label:<label_width$} {bar} {}", row.note).trim_end().to_owned()
    };
    rows.iter().zip(&labels).map(line).collect()
}

fn label(text: &str, ascii: bool) -> String {
    if text.chars().count() <= MAX_LABEL {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MAX_LABEL - 1).collect();
    format!("{cut}{}", if ascii { '~' } else { '…' })
}

/// Whatever has happened is at least one character wide.
fn bar(row: &Row, canvas: Canvas, width: usize) -> Vec<char> {
    let mut cells = vec![' '; width];
    let mut stretches = row.stretches.clone();
    stretches.sort_by_key(|stretch| stretch.mark);
    let total_ms = u128::from(canvas.to_ms.saturating_sub(canvas.from_ms).max(1));
    let scaled = |ms: u64| u128::from(ms.saturating_sub(canvas.from_ms)) * (width as u128);
    for stretch in stretches {
        let last = width.saturating_sub(1);
        let start = usize::try_from(scaled(stretch.from_ms) / total_ms).unwrap_or(last).min(last);
        let end = usize::try_from(scaled(stretch.to_ms).div_ceil(total_ms)).unwrap_or(width).min(width);
        for cell in cells.iter_mut().take(end.max(start + 1)).skip(start) {
            *cell = stretch.mark.symbol(canvas.ascii);
        }
    }
    cells
}

/// A duration for people: two units at most.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        _ if minutes < 60 => format!("{minutes} m {} s", seconds % 60),
        _ if hours < 24 => format!("{hours} h {} m", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANVAS: Canvas = Canvas { from_ms: 1000, to_ms: 2000, columns: 30, ascii: true };

    fn row(label: &str, stretches: &[(u64, u64, Mark)], note: &str) -> Row {
        let stretch =
            |(from_ms, to_ms, mark): &(u64, u64, Mark)| Stretch { from_ms: *from_ms, to_ms: *to_ms, mark: *mark };
        Row { label: label.to_owned(), stretches: stretches.iter().map(stretch).collect(), note: note.to_owned() }
    }

    #[test]
    fn rows_are_on_one_scale() {
        let rows = [
            row("one", &[(1000, 1500, Mark::Attempt)], "500 ms"),
            row("two", &[(1500, 1600, Mark::Failed), (1600, 1900, Mark::Wait), (1900, 2000, Mark::Attempt)], "500 ms"),
            row("undo one", &[(1950, 2000, Mark::Undo)], "50 ms"),
        ];
        // 30 columns less 8 of labels, 6 of notes and 2 between leave 14 for a second.
        let expected =
            ["one      #######        500 ms", "two             xx...## 500 ms", "undo one              = 50 ms"];
        assert_eq!(draw(&rows, CANVAS), expected);
    }

    #[test]
    fn what_took_no_time_is_seen_too() {
        let rows = [row("a", &[(1000, 1000, Mark::Attempt)], ""), row("b", &[(2000, 2000, Mark::Failed)], "")];
        let drawn = draw(&rows, CANVAS);
        assert_eq!(drawn[0], "a #");
        assert!(drawn[1].ends_with('x') && drawn[1].chars().count() <= 30, "{drawn:?}");
        let at_once = draw(&rows[..1], Canvas { to_ms: 1000, ..CANVAS });
        assert_eq!(at_once, ["a #"]);
    }

    #[test]
    fn a_failed_attempt_is_not_hidden_by_what_follows_in_the_same_place() {
        let drawn = draw(&[row("a", &[(1000, 1001, Mark::Failed), (1001, 1002, Mark::Attempt)], "")], CANVAS);
        assert_eq!(drawn, ["a x"]);
    }

    #[test]
    fn long_labels_are_cut_and_narrow_terminals_overrun() {
        let canvas = Canvas { columns: 10, ascii: false, ..CANVAS };
        let drawn = draw(&[row(&"ä".repeat(40), &[(1000, 2000, Mark::Wait)], "1.0 s")], canvas);
        assert_eq!(drawn, [format!("{}… {} 1.0 s", "ä".repeat(MAX_LABEL - 1), "░".repeat(MIN_BAR))]);
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let shown = [0, 999, 1000, 12_345, 61_000, 3_700_000, 90_000_000, u64::MAX].map(duration);
        assert_eq!(shown[..7], ["0 ms", "999 ms", "1.0 s", "12.3 s", "1 m 1 s", "1 h 1 m", "1 d 1 h"]);
        assert!(shown[7].contains(" d "));
    }
}
