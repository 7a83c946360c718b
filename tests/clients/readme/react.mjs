// A stand-in for React: enough to run a hook once, as a component that is shown and then taken away.
//
// What the real React does with a hook is shown in a real browser by the tests beside this folder.

const cleanups = [];

export const useRef = (initial) => ({ current: initial });

export function useState(initial) {
  const set = (value) => globalThis.stateChanges.push(value);
  return [initial, set];
}

export function useEffect(effect) {
  const cleanup = effect();
  if (cleanup) cleanups.push(cleanup);
}

export function unmount() {
  cleanups.splice(0).forEach((cleanup) => cleanup());
}
