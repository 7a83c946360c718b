//! Frames in their order, of which there is nearly always one at most.
//!
//! Owns where they lie: the first stands in the queue itself, so that a connection which gets one event at a time has no memory
//! beside it, and a delivery none to look up.

use std::collections::VecDeque;

use crate::frame::Frame;

/// A queue of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// `None` only when there are no others either.
    first: Option<Frame>,
    rest: VecDeque<Frame>,
}

impl Frames {
    /// An empty queue that has this memory for more than one; what is in it is dropped.
    pub(super) fn in_memory(mut memory: VecDeque<Frame>) -> Self {
        memory.clear();
        Self { first: None, rest: memory }
    }

    /// The memory for more than one.
    pub(super) fn into_memory(self) -> VecDeque<Frame> {
        self.rest
    }

    /// For how many beside the first it has memory.
    pub(super) fn capacity(&self) -> usize {
        self.rest.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn first(&self) -> Option<&Frame> {
        self.first.as_ref()
    }

    /// All but the first.
    pub(super) fn rest(&self) -> &VecDeque<Frame> {
        &self.rest
    }

    fn get(&self, place: usize) -> Option<&Frame> {
        match place.checked_sub(1) {
            Some(behind) => self.rest.get(behind),
            None => self.first(),
        }
    }

    /// The place of the last one that is so, among so many of the last.
    pub(super) fn find_last(&self, among: usize, is_so: impl Fn(&Frame) -> bool) -> Option<usize> {
        let all = self.len();
        (all.saturating_sub(among)..all).rev().find(|place| self.get(*place).is_some_and(&is_so))
    }

    pub(super) fn push_back(&mut self, frame: Frame) {
        match &self.first {
            Some(_) => self.rest.push_back(frame),
            None => self.first = Some(frame),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Frame> {
        let first = self.first.take();
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        first
    }

    /// Puts another in the place of one. Answers the one.
    pub(super) fn replace(&mut self, place: usize, frame: Frame) -> Option<Frame> {
        let one = match place.checked_sub(1) {
            Some(behind) => self.rest.get_mut(behind),
            None => self.first.as_mut(),
        };
        one.map(|one| std::mem::replace(one, frame))
    }

    /// Takes out the one in that place.
    pub(super) fn remove(&mut self, place: usize) -> Option<Frame> {
        match place.checked_sub(1) {
            Some(behind) => self.rest.remove(behind),
            None => self.pop_front(),
        }
    }

    /// Puts everything of `others` behind what is there, in its order, and leaves it empty, with its memory.
    pub(super) fn append(&mut self, others: &mut Self) {
        if let Some(first) = others.first.take() {
            self.push_back(first);
        }
        if !others.rest.is_empty() {
            self.rest.extend(others.rest.drain(..));
        }
    }

    /// Puts everything of `others` before what is there, in its order, and leaves it empty, with its memory.
    pub(super) fn prepend(&mut self, others: &mut Self) {
        while let Some(last) = others.rest.pop_back() {
            self.push_front(last);
        }
        if let Some(first) = others.first.take() {
            self.push_front(first);
        }
    }

    fn push_front(&mut self, frame: Frame) {
        if let Some(second) = self.first.replace(frame) {
            self.rest.push_front(second);
        }
    }

    /// Drops all but so many of the first. Answers the bytes of the texts that were dropped.
    pub(super) fn truncate(&mut self, count: usize) -> usize {
        let mut dropped = 0;
        while self.len() > count
            && let Some(last) = self.rest.pop_back().or_else(|| self.first.take())
        {
            dropped += last.len();
        }
        dropped
    }

    /// Gives back memory that nothing is in.
    pub(super) fn shrink(&mut self) {
        self.rest.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(numbers: &[usize]) -> Frames {
        let mut frames = Frames::default();
        numbers.iter().for_each(|number| frames.push_back(Frame::of_json(&vec![b'x'; *number])));
        frames
    }

    fn numbers(frames: &Frames) -> Vec<usize> {
        let lengths: Vec<usize> = (0..).map_while(|place| frames.get(place)).map(Frame::len).collect();
        assert_eq!(lengths.len(), frames.len());
        assert_eq!(lengths.first().copied(), frames.first().map(Frame::len));
        assert_eq!(lengths.is_empty(), frames.is_empty());
        lengths
    }

    #[test]
    fn frames_keep_their_order_whichever_way_they_go() {
        let mut queue = frames(&[1, 2, 3]);
        assert_eq!(queue.pop_front().map(|frame| frame.len()), Some(1));
        assert_eq!(numbers(&queue), [2, 3]);
        queue.append(&mut frames(&[4, 5]));
        assert_eq!(numbers(&queue), [2, 3, 4, 5]);
        queue.prepend(&mut frames(&[6, 7]));
        assert_eq!(numbers(&queue), [6, 7, 2, 3, 4, 5]);
        let mut none = Frames::default();
        none.prepend(&mut queue);
        assert_eq!((numbers(&none), numbers(&queue)), (vec![6, 7, 2, 3, 4, 5], vec![]));
        queue.append(&mut none);
        assert_eq!((numbers(&none), numbers(&queue)), (vec![], vec![6, 7, 2, 3, 4, 5]));
    }

    #[test]
    fn any_of_them_can_be_taken_out() {
        for (place, left) in [(0, [2, 3]), (1, [1, 3]), (2, [1, 2])] {
            let mut queue = frames(&[1, 2, 3]);
            assert_eq!(queue.remove(place).map(|frame| frame.len()), Some(place + 1));
            assert_eq!(numbers(&queue), left);
        }
        assert!(frames(&[1]).remove(1).is_none());
        assert!(frames(&[]).remove(0).is_none());
    }

    #[test]
    fn the_last_one_is_found_no_further_back_than_asked() {
        let queue = frames(&[1, 2, 1, 2, 2]);
        let find = |among| queue.find_last(among, |frame| frame.len() == 1);
        assert_eq!([find(0), find(2), find(3), find(5), find(9)], [None, None, Some(2), Some(2), Some(2)]);
        let mut queue = frames(&[1, 2]);
        for place in 0..3 {
            let frame = Frame::of_json(b"xxx");
            assert_eq!(queue.replace(place, frame).map(|frame| frame.len()), [Some(1), Some(2), None][place]);
        }
        assert_eq!(numbers(&queue), [3, 3]);
    }

    #[test]
    fn what_is_cut_off_is_counted() {
        for (count, dropped) in [(0, 6), (1, 5), (2, 3), (3, 0), (4, 0)] {
            let mut queue = frames(&[1, 2, 3]);
            assert_eq!(queue.truncate(count), dropped);
            assert_eq!(numbers(&queue), [1, 2, 3][..count.min(3)]);
        }
    }

    #[test]
    fn one_at_a_time_takes_no_memory() {
        let mut queue = Frames::default();
        for _ in 0..3 {
            queue.append(&mut frames(&[1]));
            queue.pop_front();
        }
        assert_eq!(queue.capacity(), 0);
    }
}
