//! From two different roots to the leaves that differ.
//!
//! A walk belongs to the one who asks. It says which nodes' children it wants from the other side and takes the
//! answers in any order; a subtree whose hashes agree is never entered. Several questions may be on their way at
//! once. Both trees may go on changing meanwhile: the walk may then name a leaf that has become equal or miss one
//! that has just become different, and the next walk finds that one.

use std::collections::VecDeque;

use crate::tree::{FAN_OUT, NodeHash, Shape, Tree};

/// Asks for the children of one inner node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Question {
    /// The node's level; the root's is 0.
    pub level: u8,
    /// The node's place within its level.
    pub index: usize,
}

/// The descent along the differences of two trees of one shape. Its memory is bounded by the number of the shape's
/// nodes.
#[derive(Clone, Debug)]
pub struct Walk {
    shape: Shape,
    to_ask: VecDeque<Question>,
    on_their_way: Vec<Question>,
    differing: Vec<usize>,
}

impl Walk {
    /// Begins at the roots. When they are equal there is nothing to ask.
    pub fn new(shape: Shape, ours: NodeHash, theirs: NodeHash) -> Walk {
        let root = (ours != theirs).then_some(Question { level: 0, index: 0 });
        Walk {
            shape,
            to_ask: root.into_iter().collect(),
            on_their_way: Vec::new(),
            differing: Vec::new(),
        }
    }

    /// The next question to send; `None` while nothing can be asked before an answer comes.
    pub fn next_question(&mut self) -> Option<Question> {
        let question = self.to_ask.pop_front()?;
        self.on_their_way.push(question);
        Some(question)
    }

    /// Takes the other side's answer. One that was not asked for, or was answered before, is ignored.
    pub fn answer(&mut self, tree: &mut Tree, question: Question, theirs: &[NodeHash; FAN_OUT]) {
        let Some(asked) = self.on_their_way.iter().position(|asked| *asked == question) else {
            return;
        };
        self.on_their_way.swap_remove(asked);
        let Some(ours) = tree.children(question.level, question.index) else {
            return;
        };
        for child in (0..FAN_OUT).filter(|child| ours[*child] != theirs[*child]) {
            let index = question.index * FAN_OUT + child;
            if question.level + 1 == self.shape.depth() {
                self.differing.push(index);
            } else {
                self.to_ask.push_back(Question { level: question.level + 1, index });
            }
        }
    }

    /// Whether every question has been asked and answered.
    pub fn is_finished(&self) -> bool {
        self.to_ask.is_empty() && self.on_their_way.is_empty()
    }

    /// The differing leaves found so far, each once, in the order in which they were found.
    pub fn differing_leaves(&self) -> &[usize] {
        &self.differing
    }
}
