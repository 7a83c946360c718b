// The conversation in a dedicated worker, which is told by a message what of, and says each word by one.

import { converse } from './conversation.mjs';

globalThis.onmessage = ({ data }) => converse(data, (...words) => globalThis.postMessage(JSON.stringify(words)));
