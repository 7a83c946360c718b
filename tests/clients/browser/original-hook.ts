// The React hook of the system that Roomcast takes the place of, as its documentation shows it, to the letter below this line.
import { useEffect, useState } from 'react';
import { useAuthStore } from '@/stores/authStore';
import { useIssueStore } from '@/stores/issueStore';

export function useWebSocket() {
  const [ws, setWs] = useState<WebSocket | null>(null);
  const [connected, setConnected] = useState(false);
  const token = useAuthStore((state) => state.token);
  const updateIssue = useIssueStore((state) => state.updateIssue);
  const addComment = useIssueStore((state) => state.addComment);
  
  useEffect(() => {
    if (!token) return;
    
    const socket = new WebSocket(`ws://localhost:3001/ws?token=${token}`);
    
    socket.onopen = () => {
      console.log('✅ WebSocket connected');
      setConnected(true);
      
      // Subscribe to workspace and team rooms
      socket.send(JSON.stringify({
        action: 'subscribe',
        rooms: ['workspace:ws_123', 'team:team_456'],
      }));
    };
    
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      
      switch (message.type) {
        case 'issue.updated':
          // Optimistic update reconciliation
          updateIssue(message.payload.id, message.payload.changes);
          break;
        
        case 'comment.created':
          // Add new comment to issue
          addComment(message.payload.issueId, message.payload);
          break;
        
        // ... other cases
      }
    };
    
    socket.onclose = () => {
      console.log('❌ WebSocket disconnected');
      setConnected(false);
    };
    
    setWs(socket);
    
    return () => {
      socket.close();
    };
  }, [token]);
  
  return { ws, connected };
}
