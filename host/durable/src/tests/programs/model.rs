//! What a program comes to by what its code was told, in that order: worked out without a journal and without futures.
//! Says what the code may be told next, which compensations run and in which order, and how the saga ends.

use std::collections::HashMap;

use super::program::{Op, Program, Step};
use crate::replay::EventId;
use crate::types::{EventKind, Outcome, Recording};

/// What the code waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaited<'a> {
    Step(&'a Step),
    Timer(u64),
    Signal(Option<u64>),
    /// The step that begins it.
    ChildBegins,
    Child,
    /// By its place among the compensations.
    Undo(usize),
}

/// A compensation that was registered.
#[derive(Debug)]
pub(super) struct Undo<'a> {
    pub step: &'a Step,
    pub occurrence: u32,
    /// What its step came to, as far as the code knows.
    pub settled: Option<Outcome>,
    /// What it came to itself; none if it did not run.
    pub undone: Option<Outcome>,
    path: Vec<(u32, usize)>,
    taken: bool,
}

#[derive(Debug)]
enum Node<'a> {
    Waits { id: EventId, what: Awaited<'a>, undo: Option<usize> },
    Seq { inner: Box<Node<'a>>, rest: &'a [Op], path: Vec<(u32, usize)> },
    All { nodes: Vec<Node<'a>>, eager: bool },
    Race { nodes: Vec<Node<'a>>, number: u32, path: Vec<(u32, usize)> },
    Fan { rest: &'a [Step], width: usize, running: Vec<Node<'a>>, path: Vec<(u32, usize)>, failed: bool },
    Undoing { scope: Scope, inner: Box<Node<'a>>, then: bool },
    Done(bool),
}

/// Which compensations: those of all but the winner of a race, or all.
type Scope = Option<(usize, u32, usize)>;

/// How one generation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Continues,
    Finishes {
        failed: bool,
    },
    /// Something is still waited for.
    Open,
}

#[derive(Debug)]
pub(super) struct Verdict<'a> {
    pub end: End,
    pub told: Vec<(EventId, Awaited<'a>, Recording)>,
    pub undos: Vec<Undo<'a>>,
}

#[derive(Default)]
struct Model<'a> {
    undos: Vec<Undo<'a>>,
    occurrences: HashMap<(EventKind, String), u32>,
    told: Vec<(EventId, Awaited<'a>, Recording)>,
}

/// Runs one generation of a program over what it was told.
pub(super) fn judge<'a>(
    program: &'a Program,
    generation: usize,
    told: &[(EventId, Recording)],
) -> Result<Verdict<'a>, String> {
    let mut model = Model::default();
    let is_last = generation + 1 == program.generations.len();
    let mut root = model.seq(&program.generations[generation], Vec::new());
    let mut end = model.ended(&mut root, program, is_last);
    for event in told {
        if end != End::Open || !model.feed(&mut root, event) {
            return Err(format!("told {event:?}, which the code does not wait for: {root:?}"));
        }
        end = model.ended(&mut root, program, is_last);
    }
    Ok(Verdict { end, told: model.told, undos: model.undos })
}

impl<'a> Model<'a> {
    fn ended(&mut self, root: &mut Node<'a>, program: &Program, is_last: bool) -> End {
        match root {
            Node::Done(true) if !is_last => End::Continues,
            Node::Done(true) if !program.fails => End::Finishes { failed: false },
            Node::Done(_) => {
                *root = self.undoing(None, false);
                if matches!(root, Node::Done(_)) { End::Finishes { failed: true } } else { End::Open }
            }
            _ => End::Open,
        }
    }

    fn id(&mut self, kind: EventKind, name: &str) -> EventId {
        let count = self.occurrences.entry((kind, name.to_owned())).or_default();
        *count += 1;
        EventId::new(kind, name, *count)
    }

    fn waits(&mut self, kind: EventKind, name: &str, what: Awaited<'a>) -> Node<'a> {
        Node::Waits { id: self.id(kind, name), what, undo: None }
    }

    fn step(&mut self, step: &'a Step, path: &[(u32, usize)]) -> Node<'a> {
        let id = self.id(EventKind::Do, &step.name);
        let undo = step.undo.is_some().then(|| {
            let (occurrence, path) = (id.occurrence, path.to_vec());
            self.undos.push(Undo { step, occurrence, settled: None, undone: None, path, taken: false });
            self.undos.len() - 1
        });
        Node::Waits { id, what: Awaited::Step(step), undo }
    }

    fn start(&mut self, op: &'a Op, path: &[(u32, usize)]) -> Node<'a> {
        match op {
            Op::Step(step) => self.step(step, path),
            Op::Sleep { name, ms } => self.waits(EventKind::Timer, name, Awaited::Timer(*ms)),
            Op::Signal { name, timeout_ms } => self.waits(EventKind::Signal, name, Awaited::Signal(*timeout_ms)),
            Op::Child { name, .. } => self.waits(EventKind::Do, name, Awaited::ChildBegins),
            Op::Join(branches) => {
                let nodes = branches.iter().map(|ops| self.seq(ops, path.to_vec())).collect();
                settled(Node::All { nodes, eager: false })
            }
            Op::TryJoin(branches) => {
                let nodes = branches.iter().map(|ops| self.seq(ops, path.to_vec())).collect();
                settled(Node::All { nodes, eager: true })
            }
            Op::Race { number, branches } => {
                let mut nodes = Vec::new();
                for (index, ops) in branches.iter().enumerate() {
                    nodes.push(self.seq(ops, [path, &[(*number, index)]].concat()));
                    if matches!(nodes.last(), Some(Node::Done(_))) {
                        break;
                    }
                }
                self.race(Node::Race { nodes, number: *number, path: path.to_vec() })
            }
            Op::Fan { steps, width } => {
                let running = Vec::new();
                let fan = Node::Fan { rest: steps, width: *width, running, path: path.to_vec(), failed: false };
                self.fan(fan)
            }
            Op::Expose(_) | Op::Attribute(_) => Node::Done(true),
        }
    }

    fn seq(&mut self, ops: &'a [Op], path: Vec<(u32, usize)>) -> Node<'a> {
        self.on(ops, path, Node::Done(true))
    }

    /// Goes on in a sequence as far as nothing is waited for.
    fn on(&mut self, mut rest: &'a [Op], path: Vec<(u32, usize)>, mut inner: Node<'a>) -> Node<'a> {
        while let (Node::Done(true), [first, after @ ..]) = (&inner, rest) {
            inner = self.start(first, &path);
            rest = after;
        }
        match inner {
            Node::Done(ok) => Node::Done(ok),
            inner => Node::Seq { rest, path, inner: Box::new(inner) },
        }
    }

    fn race(&mut self, node: Node<'a>) -> Node<'a> {
        let Node::Race { nodes, number, path } = node else { return node };
        let winner = nodes.iter().enumerate().find_map(|(index, node)| match node {
            Node::Done(ok) => Some((index, *ok)),
            _ => None,
        });
        let Some((winner, ok)) = winner else { return Node::Race { nodes, number, path } };
        self.undoing(Some((path.len(), number, winner)), ok)
    }

    fn fan(&mut self, node: Node<'a>) -> Node<'a> {
        let Node::Fan { mut rest, width, mut running, path, mut failed } = node else { return node };
        failed |= running.iter().any(|node| matches!(node, Node::Done(false)));
        running.retain(|node| !matches!(node, Node::Done(_)));
        while let ([first, after @ ..], true) = (rest, running.len() < width) {
            running.push(self.step(first, &path));
            rest = after;
        }
        if running.is_empty() { Node::Done(!failed) } else { Node::Fan { rest, width, running, path, failed } }
    }

    /// The next of those compensations, the last first, whose step did or may have done something.
    fn undoing(&mut self, scope: Scope, then: bool) -> Node<'a> {
        let wanted = |undo: &Undo| {
            let lost = |(at, number, winner): (usize, u32, usize)| {
                undo.path.get(at).is_some_and(|(of, index)| *of == number && *index != winner)
            };
            !undo.taken && undo.settled != Some(Outcome::Error) && scope.is_none_or(lost)
        };
        let Some(last) = self.undos.iter().rposition(wanted) else { return Node::Done(then) };
        let name = &self.undos[last].step.name;
        let inner = Box::new(self.waits(EventKind::Undo, name, Awaited::Undo(last)));
        Node::Undoing { scope, inner, then }
    }

    /// Tells the node; `false`: it does not wait for that.
    fn feed(&mut self, node: &mut Node<'a>, event: &(EventId, Recording)) -> bool {
        let taken = match node {
            Node::Waits { id, what, undo } if *id == event.0 => {
                let (what, undo) = (*what, *undo);
                *node = Node::Done(self.tell(what, undo, event));
                return true;
            }
            Node::Waits { .. } | Node::Done(_) => return false,
            Node::Seq { inner, .. } | Node::Undoing { inner, .. } => {
                let is_child = matches!(**inner, Node::Waits { what: Awaited::ChildBegins, .. });
                let fed = self.feed(inner, event);
                if fed && is_child && matches!(**inner, Node::Done(true)) {
                    **inner = self.waits(EventKind::Child, &event.0.name, Awaited::Child);
                }
                fed
            }
            Node::All { nodes, .. } | Node::Race { nodes, .. } | Node::Fan { running: nodes, .. } => {
                nodes.iter_mut().any(|node| self.feed(node, event))
            }
        };
        if taken {
            let told = std::mem::replace(node, Node::Done(false));
            *node = self.went_on(told);
        }
        taken
    }

    fn went_on(&mut self, node: Node<'a>) -> Node<'a> {
        match node {
            Node::Seq { rest, path, inner } => self.on(rest, path, *inner),
            Node::All { .. } => settled(node),
            Node::Race { .. } => self.race(node),
            Node::Fan { .. } => self.fan(node),
            Node::Undoing { scope, inner, then } if matches!(*inner, Node::Done(_)) => self.undoing(scope, then),
            node => node,
        }
    }

    /// Whether the code goes on without an error.
    fn tell(&mut self, what: Awaited<'a>, undo: Option<usize>, (id, recording): &(EventId, Recording)) -> bool {
        self.told.push((id.clone(), what, recording.clone()));
        match what {
            Awaited::Step(_) => {
                if let Some(undo) = undo {
                    self.undos[undo].settled = Some(recording.outcome);
                }
                recording.outcome == Outcome::Success
            }
            Awaited::Undo(index) => {
                self.undos[index].undone = Some(recording.outcome);
                self.undos[index].taken = true;
                true
            }
            Awaited::Child => recording.outcome == Outcome::Success && recording.payload != b"failed",
            Awaited::Timer(_) | Awaited::Signal(_) => !recording.cancelled,
            Awaited::ChildBegins => recording.outcome == Outcome::Success,
        }
    }
}

fn settled(node: Node<'_>) -> Node<'_> {
    let Node::All { nodes, eager } = &node else { return node };
    let failed = nodes.iter().any(|node| matches!(node, Node::Done(false)));
    let all = nodes.iter().all(|node| matches!(node, Node::Done(_)));
    if all || (*eager && failed) { Node::Done(!failed) } else { node }
}
