// The two stores that the original's hook reads: what an application keeps of its user and of its issues.
//
// Stand-ins of the least that the hook needs, and real enough that React renders what an event changed.

import { useSyncExternalStore } from 'react';

function store(initial) {
  let state = initial;
  const listeners = new Set();
  const set = (change) => {
    state = { ...state, ...change(state) };
    listeners.forEach((listener) => listener());
  };
  const subscribe = (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const use = (select) => useSyncExternalStore(subscribe, () => select(state));
  return { set, use };
}

const auth = store({ token: null });
export const useAuthStore = auth.use;
export const setToken = (token) => auth.set(() => ({ token }));

const issues = store({
  issues: {},
  comments: [],
  updateIssue: (id, changes) =>
    issues.set(({ issues }) => ({ issues: { ...issues, [id]: { ...issues[id], ...changes } } })),
  addComment: (issueId, comment) =>
    issues.set(({ comments }) => ({ comments: [...comments, { issueId, ...comment }] })),
});
export const useIssueStore = issues.use;
