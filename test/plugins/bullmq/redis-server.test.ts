import { createConnection } from 'node:net';
import { expect, test } from 'vitest';
import { describeWithRedis, RedisServer } from './redis-server.ts';

/** The answer of a server to one line. */
function ask(port: number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write(`${line}\r\n`));
    socket.once('data', (answer) => {
      socket.destroy();
      resolve(String(answer));
    });
    socket.on('error', reject);
  });
}

describeWithRedis('the Redis of tests', () => {
  test('keeps what it was told through SIGKILL, and is gone when it is ended', async () => {
    const redis = await RedisServer.start();
    expect(await ask(redis.port, 'SET key kept')).toBe('+OK\r\n');
    await redis.kill();
    await expect(ask(redis.port, 'PING')).rejects.toThrow('ECONNREFUSED');
    await redis.begin();
    expect(await ask(redis.port, 'GET key')).toBe('$4\r\nkept\r\n');
    await redis.end();
    await expect(ask(redis.port, 'PING')).rejects.toThrow('ECONNREFUSED');
  });
});
