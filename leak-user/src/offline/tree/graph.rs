//! Stacks put together by the calls that they share.

use std::collections::HashMap;

use super::super::{Key, site, sums::Sums};
use crate::{session::StackView, symbolize::Frame};

/// A call, or the root of all.
#[derive(Clone, Debug, Default)]
pub struct Node<'view> {
    /// None of the root, of processes, and of stacks without frames.
    pub frame: Option<&'view Frame>,
    /// Of processes alone.
    pub pid: Option<u32>,
    /// Of all stacks that come through here.
    pub sums: Sums,
    /// Of those that end here.
    pub own: Sums,
    /// Places in the graph.
    pub children: Vec<usize>,
}

/// All calls; the first is the root.
pub struct Graph<'view> {
    pub nodes: Vec<Node<'view>>,
}

/// What the branches of a node are told apart by.
#[derive(PartialEq, Eq, Hash)]
enum Step<'view> {
    Process(u32),
    Call(Key<'view>),
    NoFrames,
}

impl<'view> Graph<'view> {
    /// Puts together the stacks that hold something or have changed. Of several processes each is a branch.
    pub fn new(stacks: &'view [StackView]) -> Self {
        let several = stacks.iter().any(|stack| stack.pid != stacks[0].pid);
        let mut graph = Self { nodes: vec![Node::default()] };
        let mut places = HashMap::new();
        for stack in stacks {
            let sums = Sums::of(stack);
            if sums.held_bytes == 0 && sums.growth_bytes == 0 {
                continue;
            }
            graph.nodes[0].sums.add(sums);
            let mut at = 0;
            if several {
                let process = Node { pid: Some(stack.pid), ..Node::default() };
                at = graph.step(&mut places, at, Step::Process(stack.pid), process, sums);
            }
            for frame in stack.frames[site(&stack.frames).unwrap_or(0)..].iter().rev() {
                let call = Node { frame: Some(frame), ..Node::default() };
                at = graph.step(&mut places, at, Step::Call(Key::of(frame)), call, sums);
            }
            if stack.frames.is_empty() {
                at = graph.step(&mut places, at, Step::NoFrames, Node::default(), sums);
            }
            graph.nodes[at].own.add(sums);
        }
        graph
    }

    /// Goes from a node to the next, which is entered if it is not there, and adds to it.
    fn step(
        &mut self,
        places: &mut HashMap<(usize, Step<'view>), usize>,
        from: usize,
        step: Step<'view>,
        node: Node<'view>,
        sums: Sums,
    ) -> usize {
        let next = self.nodes.len();
        let place = *places.entry((from, step)).or_insert(next);
        if place == next {
            self.nodes.push(node);
            self.nodes[from].children.push(next);
        }
        self.nodes[place].sums.add(sums);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::tests::made_up;

    #[test]
    fn a_node_has_what_its_branches_and_the_stacks_that_end_there_have() {
        for seed in 0..30 {
            let view = made_up(seed, 60);
            let graph = Graph::new(&view.stacks);
            for node in &graph.nodes {
                let mut sums = node.own;
                node.children.iter().for_each(|child| sums.add(graph.nodes[*child].sums));
                assert_eq!(sums, node.sums);
            }
            let all: Sums = view.stacks.iter().filter(|s| s.last().held_bytes() > 0 || s.growth_bytes() != 0).collect();
            assert_eq!(graph.nodes[0].sums, all);
        }
    }
}
