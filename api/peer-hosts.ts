/** Which hosts a query may be forwarded to: what a group member advertises is not trusted by itself. */
import { BlockList, isIP } from 'node:net';
import { StreamError } from '../errors.ts';

/** Allows loopback always, and what the entries name: host names, `.suffixes`, addresses and ranges (`10.0.0.0/8`). */
export interface PeerHosts {
  /** The URL, checked. Throws `PEER_UNAVAILABLE` for one that may not be asked. */
  check(url: string): URL;
}

export function createPeerHosts(entries: readonly string[]): PeerHosts {
  const names = new Set(['localhost']);
  const suffixes: string[] = [];
  const addresses = new BlockList();
  addresses.addSubnet('127.0.0.0', 8, 'ipv4');
  addresses.addAddress('::1', 'ipv6');
  for (const entry of entries) {
    const [address = '', bits] = entry.toLowerCase().split('/');
    const version = isIP(address);
    if (version !== 0) addAddress(addresses, address, bits, version === 4 ? 'ipv4' : 'ipv6');
    else if (address.startsWith('.')) suffixes.push(address);
    else names.add(address);
  }
  const isAllowed = (host: string): boolean => {
    const version = isIP(host);
    if (version !== 0) return addresses.check(host, version === 4 ? 'ipv4' : 'ipv6');
    return names.has(host) || suffixes.some((suffix) => host.endsWith(suffix));
  };
  return {
    check: (text) => {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      if (url?.protocol !== 'http:' || `${url.origin}/` !== url.href)
        refuse('its advertised URL is not of the form http://host:port');
      if (!isAllowed(url.hostname.replace(/^\[|\]$/g, '')))
        refuse('its advertised host is not among the allowed peer hosts');
      return url;
    },
  };
}

function addAddress(list: BlockList, address: string, bits: string | undefined, type: 'ipv4' | 'ipv6'): void {
  if (bits === undefined) {
    list.addAddress(address, type);
    return;
  }
  const width = Number(bits);
  if (!/^\d{1,3}$/.test(bits) || width > (type === 'ipv4' ? 32 : 128))
    throw new StreamError('CONFIG_INVALID', 'PEER_HOSTS holds an address range with a wrong width');
  list.addSubnet(address, width, type);
}

function refuse(reason: string): never {
  throw new StreamError('PEER_UNAVAILABLE', `the owner is not asked: ${reason}`);
}
