// Payloads of the original's documentation, with ids that belong together.

export const ISSUE = {
  id: 'issue_123',
  identifier: 'ENG-42',
  title: 'Fix login bug',
  teamId: 'team_456',
  status: 'todo',
  priority: 'high',
};

export const CHANGE = {
  id: 'issue_123',
  changes: { status: 'in_progress', assigneeId: 'user_999' },
  teamId: 'team_456',
};

export const COMMENT = {
  id: 'comment_123',
  issueId: 'issue_123',
  teamId: 'team_456',
  userId: 'user_999',
  body: 'Fixed in latest commit',
};

export const TYPING = { issueId: 'issue_123', userId: 'user_789', userEmail: 'john@example.com', isTyping: true };
