package testservices

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Redis is one Redis process without persistence: a restart empties it.
type Redis struct{ *Server }

// StartRedis starts a single server; settings are further "--name value" arguments.
func StartRedis(settings ...string) (*Redis, error) {
	return startRedis("redis", nil, settings)
}

// startRedis starts a server; conf, when not nil, writes a configuration file for its folder and port, which Sentinel needs.
func startRedis(name string, conf func(port int) string, settings []string) (*Redis, error) {
	path, err := redisProgram().find()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("make folder for %s: %w", name, err)
	}
	var args []string
	if conf != nil {
		file := filepath.Join(dir, "redis.conf")
		if err := os.WriteFile(file, []byte(conf(port)), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("write settings of %s: %w", name, err), os.RemoveAll(dir))
		}
		args = []string{file}
	}
	args = append(args, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no")
	if conf == nil {
		args = append(args, "--save", "", "--appendonly", "no")
	}
	r := &Redis{&Server{
		name: name, dir: dir, port: port, path: path, args: append(args, settings...),
		quit: syscall.SIGTERM, orphan: syscall.SIGKILL,
	}}
	r.ready = func(ctx context.Context) error {
		reply, err := r.do(ctx, "PING")
		if err == nil && !strings.HasPrefix(reply, "+PONG") {
			err = fmt.Errorf("ping %s: %s", name, reply)
		}
		return err
	}
	if err := r.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

// URL is what REDIS_URL takes.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// RedisCluster is a Cluster of masters that share the slots evenly.
type RedisCluster struct{ Masters []*Redis }

// StartRedisCluster starts three masters and joins them.
func StartRedisCluster() (_ *RedisCluster, err error) {
	c := &RedisCluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	const masters, slots = 3, 16384
	bus := make([]int, masters)
	for i := range masters {
		// The default bus port, 10000 above the other, may lie beyond 65535.
		if bus[i], err = freePort(); err != nil {
			return nil, err
		}
		r, err := startRedis("redis-cluster", nil, []string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus[i]), "--cluster-node-timeout", "1000",
		})
		if err != nil {
			return nil, err
		}
		c.Masters = append(c.Masters, r)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for i, r := range c.Masters {
		if err := r.want(ctx, "+OK", fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/masters, (i+1)*slots/masters-1)); err != nil {
			return nil, err
		}
		if i > 0 {
			if err := r.want(ctx, "+OK", fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d", c.Masters[0].port, bus[0])); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range c.Masters {
		if err := r.await(ctx, "CLUSTER INFO", "cluster_state:ok", "cluster_known_nodes:3"); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Addrs lists the masters' addresses.
func (c *RedisCluster) Addrs() []string {
	addrs := make([]string, len(c.Masters))
	for i, r := range c.Masters {
		addrs[i] = r.Addr()
	}
	return addrs
}

// Close stops all of them.
func (c *RedisCluster) Close() error { return closeAll(c.Masters) }

// RedisSentinel is a master and its replica under one Sentinel, which fails over within about a second.
type RedisSentinel struct {
	MasterName                string
	Master, Replica, Sentinel *Redis
}

// StartRedisSentinel starts the three.
func StartRedisSentinel() (_ *RedisSentinel, err error) {
	s := &RedisSentinel{MasterName: "carom"}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Master, err = startRedis("redis-master", nil, nil); err != nil {
		return nil, err
	}
	if s.Replica, err = startRedis("redis-replica", nil, []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(s.Master.port), "--repl-diskless-sync-delay", "0"}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.Replica.await(ctx, "INFO replication", "master_link_status:up"); err != nil {
		return nil, err
	}
	s.Sentinel, err = startRedis("redis-sentinel", func(int) string {
		return fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 3000\n",
			s.MasterName, s.Master.port)
	}, []string{"--sentinel"})
	if err != nil {
		return nil, err
	}
	if err := s.Sentinel.await(ctx, "INFO sentinel", "status=ok,address="+s.Master.Addr()+",slaves=1"); err != nil {
		return nil, err
	}
	return s, nil
}

// MasterAddr asks the Sentinel who is the master now.
func (s *RedisSentinel) MasterAddr(ctx context.Context) (string, error) {
	reply, err := s.Sentinel.do(ctx, "INFO sentinel")
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(reply, "address=")
	addr, _, ok := strings.Cut(rest, ",")
	if !ok {
		return "", fmt.Errorf("read the master's address: %q", reply)
	}
	return addr, nil
}

// Close stops all of them.
func (s *RedisSentinel) Close() error { return closeAll([]*Redis{s.Sentinel, s.Replica, s.Master}) }

func closeAll(servers []*Redis) error {
	var err error
	for _, r := range servers {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	return err
}
