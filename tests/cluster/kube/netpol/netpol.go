// Package netpol enforces NetworkPolicy (networking.k8s.io/v1, IPv4) on a cluster of one node.
//
// It renders one nftables table from the policies, pods and namespaces it watches, and replaces the table in one
// transaction. Pods are reached by routing (the ptp CNI plugin), so the forward hook sees every packet between
// pods, after kube-proxy has replaced the Service's address: rules are about pod addresses and container ports.
// The input hook sees what pods send to the node, for example to the API server. What the node itself sends
// (probes, webhook calls) is never filtered, nor are pods with hostNetwork, nor connections already open.
package netpol

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	net "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type state struct {
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*net.NetworkPolicy
}

func matches(s *meta.LabelSelector, set map[string]string) bool {
	sel, err := meta.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(set))
}

func (s *state) selected(namespace string, peer net.NetworkPolicyPeer) (out []*core.Pod) {
	for _, p := range s.pods {
		if peer.NamespaceSelector == nil {
			if p.Namespace != namespace {
				continue
			}
		} else if !matches(peer.NamespaceSelector, s.namespaces[p.Namespace]) {
			continue
		}
		if peer.PodSelector == nil || matches(peer.PodSelector, p.Labels) {
			out = append(out, p)
		}
	}
	return out
}

func addresses(pods []*core.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Status.PodIP)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

func named(p *core.Pod, name, protocol string) int32 {
	for _, containers := range [][]core.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range containers {
			for _, port := range c.Ports {
				if port.Name == name && strings.EqualFold(string(port.Protocol), protocol) {
					return port.ContainerPort
				}
			}
		}
	}
	return 0
}

// rules lists what one rule of a policy lets through. field is the address of the peer: saddr for ingress.
func (s *state) rules(field, namespace string, peers []net.NetworkPolicyPeer, ports []net.NetworkPolicyPort, self *core.Pod) (out []string) {
	type side struct {
		match string
		pods  []*core.Pod
	}
	var sides []side
	if len(peers) == 0 {
		sides = append(sides, side{"", s.pods})
	}
	for _, peer := range peers {
		if b := peer.IPBlock; b != nil {
			if strings.Contains(b.CIDR, ":") {
				continue
			}
			m := "ip " + field + " " + b.CIDR
			if len(b.Except) > 0 {
				m += " ip " + field + " != { " + strings.Join(b.Except, ", ") + " }"
			}
			sides = append(sides, side{m, nil})
		} else if pods := s.selected(namespace, peer); len(pods) > 0 {
			sides = append(sides, side{"ip " + field + " { " + addresses(pods) + " }", pods})
		}
	}
	for _, from := range sides {
		if len(ports) == 0 {
			out = append(out, from.match+" return")
		}
		for _, port := range ports {
			protocol := "tcp"
			if port.Protocol != nil {
				protocol = strings.ToLower(string(*port.Protocol))
			}
			switch {
			case port.Port == nil:
				out = append(out, fmt.Sprintf("%s meta l4proto %s return", from.match, protocol))
			case port.Port.Type == intstr.Int && port.EndPort != nil:
				out = append(out, fmt.Sprintf("%s %s dport %d-%d return", from.match, protocol, port.Port.IntVal, *port.EndPort))
			case port.Port.Type == intstr.Int:
				out = append(out, fmt.Sprintf("%s %s dport %d return", from.match, protocol, port.Port.IntVal))
			case field == "saddr": // a named port is the receiving pod's
				if n := named(self, port.Port.StrVal, protocol); n > 0 {
					out = append(out, fmt.Sprintf("%s %s dport %d return", from.match, protocol, n))
				}
			default:
				for _, p := range from.pods {
					if n := named(p, port.Port.StrVal, protocol); n > 0 {
						out = append(out, fmt.Sprintf("ip daddr %s %s dport %d return", p.Status.PodIP, protocol, n))
					}
				}
			}
		}
	}
	return out
}

func has(types []net.PolicyType, t net.PolicyType) bool {
	for _, x := range types {
		if x == t {
			return true
		}
	}
	return false
}

func (s *state) render() string {
	var chains strings.Builder
	jumps := map[string][]string{}
	for _, pod := range s.pods {
		for _, way := range []net.PolicyType{net.PolicyTypeIngress, net.PolicyTypeEgress} {
			isolated := false
			var rules []string
			for _, policy := range s.policies {
				if policy.Namespace != pod.Namespace || !has(policy.Spec.PolicyTypes, way) || !matches(&policy.Spec.PodSelector, pod.Labels) {
					continue
				}
				isolated = true
				if way == net.PolicyTypeIngress {
					for _, r := range policy.Spec.Ingress {
						rules = append(rules, s.rules("saddr", policy.Namespace, r.From, r.Ports, pod)...)
					}
				} else {
					for _, r := range policy.Spec.Egress {
						rules = append(rules, s.rules("daddr", policy.Namespace, r.To, r.Ports, pod)...)
					}
				}
			}
			if !isolated {
				continue
			}
			name := strings.ToLower(string(way)) + "_" + strings.ReplaceAll(pod.Status.PodIP, ".", "_")
			fmt.Fprintf(&chains, "chain %s {\n%s\ncounter drop\n}\n", name, strings.Join(rules, "\n"))
			jumps[string(way)] = append(jumps[string(way)], pod.Status.PodIP+" : jump "+name)
		}
	}
	vmap := func(field, way string) string {
		if len(jumps[way]) == 0 {
			return ""
		}
		return "ip " + field + " vmap { " + strings.Join(jumps[way], ", ") + " }\n"
	}
	hook := func(name, rules string) string {
		return fmt.Sprintf("chain %s {\ntype filter hook %s priority -5; policy accept;\nct state established,related accept\n%s}\n", name, name, rules)
	}
	egress := vmap("saddr", "Egress")
	return "table inet netpol {\n" + chains.String() + hook("forward", egress+vmap("daddr", "Ingress")) + hook("input", egress) + "}\n"
}

func apply(table string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("add table inet netpol\ndelete table inet netpol\n" + table)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Main watches until the process ends.
func Main() {
	flags := flag.NewFlagSet("netpol", flag.ExitOnError) // the global set is full of the other components' flags
	kubeconfig := flags.String("kubeconfig", "", "a user who may list and watch pods, namespaces and networkpolicies")
	_ = flags.Parse(os.Args[1:])
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	for _, i := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { mark() }, UpdateFunc: func(any, any) { mark() }, DeleteFunc: func(any) { mark() },
		}); err != nil {
			log.Fatal(err)
		}
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	last := ""
	for mark(); ; <-dirty {
		time.Sleep(50 * time.Millisecond) // several changes at once make one table
		s := state{namespaces: map[string]labels.Set{}}
		all, _ := pods.Lister().List(labels.Everything())
		for _, p := range all {
			live := p.Status.Phase != core.PodSucceeded && p.Status.Phase != core.PodFailed
			if live && !p.Spec.HostNetwork && p.Status.PodIP != "" {
				s.pods = append(s.pods, p)
			}
		}
		sort.Slice(s.pods, func(a, b int) bool { return s.pods[a].Status.PodIP < s.pods[b].Status.PodIP })
		list, _ := namespaces.Lister().List(labels.Everything())
		for _, n := range list {
			s.namespaces[n.Name] = n.Labels
		}
		s.policies, _ = policies.Lister().List(labels.Everything())
		sort.Slice(s.policies, func(a, b int) bool { return s.policies[a].UID < s.policies[b].UID })
		if table := s.render(); table != last {
			if err := apply(table); err != nil {
				log.Print(err)
				time.AfterFunc(time.Second, mark)
				continue
			}
			last = table
			log.Printf("table replaced: %d policies, %d pods", len(s.policies), len(s.pods))
		}
	}
}
