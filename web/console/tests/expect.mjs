export function expect(is, what) { if (!is) throw new Error(what); }
