/**
 * The board and an issue's comments, as a page holds them: a snapshot, and what each event makes of it.
 *
 * Owns the folding. Each change has a revision: an event that the snapshot holds already, or that was folded before, changes
 * nothing, so it does not matter how the two overlap.
 */

import type { AnyEvent } from "@roomcast/client";
import { isKnownEvent, type CommentCreated, type IssueCreated } from "@roomcast/client/schema";

export const STATUSES = ["todo", "in_progress", "done"] as const;
export const PRIORITIES = ["low", "medium", "high"] as const;

export type Status = (typeof STATUSES)[number];
export type Priority = (typeof PRIORITIES)[number];

/** An issue: the payload of `issue.created`, as it is now, with what this application adds. */
export interface Issue extends IssueCreated {
  readonly status: Status;
  readonly priority: Priority;
  readonly assigneeId: string | null;
  readonly comments: number;
  /** The revision of its last change, if that was seen as it happened. */
  readonly touched?: number;
}

export type Comment = Pick<CommentCreated, "id" | "issueId" | "userId" | "body">;

/** All issues, oldest first. */
export interface Board {
  readonly revision: number;
  readonly issues: readonly Issue[];
}

/** All comments on one issue, oldest first. */
export interface Discussion {
  readonly revision: number;
  readonly comments: readonly Comment[];
}

/** The board behind an event. */
export function foldBoard(board: Board, event: AnyEvent): Board {
  const revision = revisionOf(event);
  if (!isKnownEvent(event) || revision <= board.revision) return board;
  const touched = (id: string, change: (issue: Issue) => Partial<Issue>) =>
    board.issues.map((issue) => (issue.id === id ? { ...issue, ...change(issue), touched: revision } : issue));
  switch (event.type) {
    case "issue.created": {
      const issue = { assigneeId: null, comments: 0, ...event.payload, touched: revision } as Issue;
      return { revision, issues: [...board.issues, issue] };
    }
    case "issue.updated":
      return { revision, issues: touched(event.payload.id, () => event.payload.changes as Partial<Issue>) };
    case "issue.deleted":
      return { revision, issues: board.issues.filter(({ id }) => id !== event.payload.id) };
    case "comment.created":
      return { revision, issues: touched(event.payload.issueId, ({ comments }) => ({ comments: comments + 1 })) };
    default:
      return board;
  }
}

/** The comments behind an event. */
export function foldDiscussion(discussion: Discussion, event: AnyEvent): Discussion {
  const revision = revisionOf(event);
  if (!isKnownEvent(event) || event.type !== "comment.created" || revision <= discussion.revision) return discussion;
  return { revision, comments: [...discussion.comments, event.payload] };
}

/** The revision that the back end has put into the event; 0 without one. */
function revisionOf({ payload }: AnyEvent): number {
  return Number((payload as { revision?: unknown } | null)?.revision) || 0;
}
