/** What is done in the virtual machine before Docker starts. */
import { enginePort } from './machine.ts';

/** Prints one line for parsePoolSample. */
export const lookAtPool = 'echo "$(cut -d" " -f1 /proc/uptime) $(dmsetup status docker-thinpool)"';

const listen = `-H fd:// -H tcp://127.0.0.1:${enginePort} --tls=false --containerd=/run/containerd/containerd.sock`;

/** A shell command that writes Docker's options. @param isOn deferred removal and deletion, which Docker 20.10 uses by itself */
export function defer(isOn: boolean): string {
  const options = [
    ...['dm.thinpooldev=/dev/mapper/docker-thinpool', 'dm.basesize=1G', 'dm.min_free_space=0%'],
    ...[`dm.use_deferred_removal=${isOn}`, `dm.use_deferred_deletion=${isOn}`],
  ];
  const configuration = JSON.stringify({ 'storage-driver': 'devicemapper', 'storage-opts': options });
  return `mkdir -p /etc/docker && echo '${configuration}' >/etc/docker/daemon.json`;
}

/** A shell script for the machine: an LVM thin pool on the second disk, Docker's options, and a recorder of the pool's use. */
export function preparePool(metadataMb: number): string {
  return [
    'set -e',
    'modprobe -a dm_thin_pool br_netfilter',
    'pvcreate -q /dev/vdb && vgcreate -q docker /dev/vdb',
    `lvcreate -q -y --type thin-pool -n thinpool -L 6G --poolmetadatasize ${metadataMb}M --zero n docker`,
    defer(true),
    'mkdir -p /etc/systemd/system/docker.service.d',
    `printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd ${listen}\\n' >/etc/systemd/system/docker.service.d/listen.conf`,
    'systemctl daemon-reload',
    `(while sleep 5; do ${lookAtPool}; done) </dev/null >/run/pool.log 2>/dev/null &`,
  ].join('\n');
}
