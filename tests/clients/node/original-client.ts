// The client of the system that Roomcast takes the place of, as its documentation shows it, to the letter below this line.
class LinearWebSocketClient {
  private ws: WebSocket | null = null;
  private reconnectTimeout: NodeJS.Timeout | null = null;
  
  constructor(private token: string) {}
  
  connect(): void {
    this.ws = new WebSocket(`ws://localhost:3001/ws?token=${this.token}`);
    
    this.ws.on('open', () => {
      console.log('✅ Connected to WebSocket server');
      
      // Subscribe to rooms
      this.subscribe(['workspace:ws_123', 'team:team_456']);
    });
    
    this.ws.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString());
      this.handleMessage(message);
    });
    
    this.ws.on('close', (code, reason) => {
      console.log(`❌ Connection closed: ${code} - ${reason}`);
      this.reconnect();
    });
    
    this.ws.on('error', (error) => {
      console.error('❌ WebSocket error:', error);
    });
    
    // Send ping every 25 seconds
    setInterval(() => {
      if (this.ws?.readyState === WebSocket.OPEN) {
        this.ws.send(JSON.stringify({ type: 'ping' }));
      }
    }, 25000);
  }
  
  subscribe(rooms: string[]): void {
    this.ws?.send(JSON.stringify({
      action: 'subscribe',
      rooms,
    }));
  }
  
  unsubscribe(rooms: string[]): void {
    this.ws?.send(JSON.stringify({
      action: 'unsubscribe',
      rooms,
    }));
  }
  
  private handleMessage(message: any): void {
    switch (message.type) {
      case 'connection.ack':
        console.log('✅ Connection acknowledged');
        break;
      
      case 'issue.created':
        console.log('🆕 New issue:', message.payload);
        break;
      
      case 'issue.updated':
        console.log('✏️ Issue updated:', message.payload);
        break;
      
      case 'comment.created':
        console.log('💬 New comment:', message.payload);
        break;
      
      case 'error':
        console.error('❌ Error:', message.payload);
        break;
      
      default:
        console.log('📨 Unknown message:', message);
    }
  }
  
  private reconnect(): void {
    console.log('🔄 Reconnecting in 5 seconds...');
    this.reconnectTimeout = setTimeout(() => {
      this.connect();
    }, 5000);
  }
  
  disconnect(): void {
    if (this.reconnectTimeout) {
      clearTimeout(this.reconnectTimeout);
    }
    this.ws?.close();
  }
}

// Usage
const client = new LinearWebSocketClient('your-jwt-token');
client.connect();
