// The page around the original's hook: shows what the hook and the stores say, as text that a test can read.

import { createElement } from 'react';
import { createRoot } from 'react-dom/client';

import { useWebSocket } from './original-hook.ts';
import { setToken, useIssueStore } from './stores.mjs';

function Application() {
  const { connected } = useWebSocket();
  const issues = useIssueStore((state) => state.issues);
  const comments = useIssueStore((state) => state.comments);
  return createElement('pre', null, JSON.stringify({ connected, issues, comments }));
}

window.setToken = setToken;
createRoot(document.getElementById('root')).render(createElement(Application));
