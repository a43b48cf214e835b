package kubernetes

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// eachBuild runs a test on what is to be applied: base, and base with all else.
func eachBuild(t *testing.T, test func(t *testing.T, c cluster)) {
	for _, folder := range []string{"base", "example"} {
		t.Run(folder, func(t *testing.T) { test(t, build(t, folder)) })
	}
}

// Whatever selects pods selects the Deployment's, and nothing selects by a label
// that they do not have.
func TestSelectorsMatchThePods(t *testing.T) {
	eachBuild(t, func(t *testing.T, c cluster) {
		d := c.deployments[0]
		pod := labels.Set(d.Spec.Template.Labels)
		matches := func(what string, selector *metav1.LabelSelector) {
			s, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil || s.Empty() || !s.Matches(pod) {
				t.Errorf("%s selects %v, which the pods' %v are not: %v", what, s, pod, err)
			}
		}
		matches("the Deployment", d.Spec.Selector)
		for _, s := range c.services {
			matches("Service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		}
		for _, b := range c.budgets {
			matches("PodDisruptionBudget "+b.Name, b.Spec.Selector)
		}
		for _, p := range c.policies {
			matches("NetworkPolicy "+p.Name, &p.Spec.PodSelector)
		}
		for _, s := range d.Spec.Template.Spec.TopologySpreadConstraints {
			matches("spread over "+s.TopologyKey, s.LabelSelector)
		}
		for _, term := range d.Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			matches("anti-affinity", term.PodAffinityTerm.LabelSelector)
		}
		for _, m := range c.monitors {
			s, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			selected := slices.DeleteFunc(slices.Clone(c.services), func(service *corev1.Service) bool { return !s.Matches(labels.Set(service.Labels)) })
			if len(selected) != 1 {
				t.Errorf("ServiceMonitor %s selects %d Services", m.Name, len(selected))
				continue
			}
			for _, e := range m.Spec.Endpoints {
				if servicePort(selected[0], e.Port) == nil {
					t.Errorf("ServiceMonitor %s: Service %s has no port %q", m.Name, selected[0].Name, e.Port)
				}
			}
			if selected[0].Labels[m.Spec.JobLabel] == "" {
				t.Errorf("ServiceMonitor %s takes the job's name from %q, which Service %s has not", m.Name, m.Spec.JobLabel, selected[0].Name)
			}
		}
	})
}

func service(t *testing.T, c cluster, name string) *corev1.Service {
	t.Helper()
	for _, s := range c.services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no Service %s", name)
	return nil
}

func servicePort(s *corev1.Service, name string) *corev1.ServicePort {
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Spec.Ports[i]
}

// containerPort is the number of a port of the container, or 0 if it has none
// of that name or number.
func containerPort(c *corev1.Container, port intstr.IntOrString) int32 {
	for _, p := range c.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal {
			return p.ContainerPort
		}
	}
	return 0
}

// Every port that something refers to is one of the container's, the private one
// is in no Service with an address, and is opened to nobody by base.
func TestPortsAreTheContainers(t *testing.T) {
	eachBuild(t, func(t *testing.T, c cluster) {
		container := &c.deployments[0].Spec.Template.Spec.Containers[0]
		admin := containerPort(container, intstr.FromString("admin"))
		for _, s := range c.services {
			for _, p := range s.Spec.Ports {
				port := containerPort(container, p.TargetPort)
				if port == 0 {
					t.Errorf("Service %s leads to port %s, which the container has not", s.Name, p.TargetPort.String())
				}
				if port == admin && s.Spec.ClusterIP != corev1.ClusterIPNone {
					t.Errorf("Service %s has an address for the private listener", s.Name)
				}
			}
		}
		for name, probe := range probes(container) {
			if containerPort(container, probe.HTTPGet.Port) != admin {
				t.Errorf("the %s probe asks port %s", name, probe.HTTPGet.Port.String())
			}
		}
		closed := false
		for _, p := range c.policies {
			closed = closed || slices.Equal(p.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}) && len(p.Spec.Ingress) == 0
			for _, rule := range p.Spec.Ingress {
				if len(rule.From) == 0 || len(rule.Ports) == 0 {
					t.Errorf("NetworkPolicy %s lets everybody in, or to every port", p.Name)
				}
				for _, port := range rule.Ports {
					if containerPort(container, *port.Port) == 0 {
						t.Errorf("NetworkPolicy %s opens port %s, which the container has not", p.Name, port.Port.String())
					}
				}
			}
			for _, rule := range p.Spec.Egress {
				if len(rule.To) == 0 || len(rule.Ports) == 0 {
					t.Errorf("NetworkPolicy %s lets out to everywhere, or to every port", p.Name)
				}
			}
		}
		if !closed {
			t.Error("no NetworkPolicy closes what the others do not open")
		}
	})
}

func probes(c *corev1.Container) map[string]*corev1.Probe {
	return map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe}
}

// Three replicas, or more where they are scaled, of which one at a time may go.
func TestReplicasAndDisruption(t *testing.T) {
	eachBuild(t, func(t *testing.T, c cluster) {
		d := c.deployments[0]
		least := int32(0)
		if d.Spec.Replicas != nil {
			least = *d.Spec.Replicas
		}
		for _, a := range c.autoscalers {
			target := a.Spec.ScaleTargetRef
			if target.Kind != "Deployment" || target.Name != d.Name || target.APIVersion != "apps/v1" {
				t.Errorf("HorizontalPodAutoscaler %s scales %+v", a.Name, target)
			}
			if d.Spec.Replicas != nil {
				t.Error("the Deployment says how many replicas there are, and an autoscaler too")
			}
			if least = *a.Spec.MinReplicas; a.Spec.MaxReplicas <= least {
				t.Errorf("HorizontalPodAutoscaler %s has nothing to do from %d to %d", a.Name, least, a.Spec.MaxReplicas)
			}
			for _, m := range a.Spec.Metrics {
				if _, requested := d.Spec.Template.Spec.Containers[0].Resources.Requests[m.Resource.Name]; !requested {
					t.Errorf("HorizontalPodAutoscaler %s goes by %s, of which nothing is requested", a.Name, m.Resource.Name)
				}
			}
		}
		if least != 3 {
			t.Errorf("%d replicas", least)
		}
		if len(c.budgets) != 1 || c.budgets[0].Spec.MaxUnavailable.IntValue() != 1 ||
			*c.budgets[0].Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
			t.Errorf("disruption budgets: %+v", c.budgets)
		}
		update := d.Spec.Strategy.RollingUpdate
		if update.MaxUnavailable.IntValue() != 0 || update.MaxSurge.IntValue() != 1 {
			t.Errorf("a rollout takes away %v and adds %v", update.MaxUnavailable, update.MaxSurge)
		}
		// With maxSurge, one pod more than replicas must find a place, on as many nodes.
		for _, s := range d.Spec.Template.Spec.TopologySpreadConstraints {
			if s.WhenUnsatisfiable == corev1.DoNotSchedule && !slices.Contains(s.MatchLabelKeys, "pod-template-hash") {
				t.Errorf("spread over %s counts pods of the former revision: a rollout waits for one node more", s.TopologyKey)
			}
		}
		if len(d.Spec.Template.Spec.TopologySpreadConstraints) != 2 {
			t.Error("replicas are not spread over nodes and zones")
		}
		if d.Spec.Template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			t.Error("required anti-affinity counts pods of the former revision: a rollout waits for one node more")
		}
	})
}

// Pods are what Kubernetes calls restricted, and stricter where it can be.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eachBuild(t, func(t *testing.T, c cluster) {
		template := c.deployments[0].Spec.Template
		restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		pod, container := template.Spec, template.Spec.Containers[0]
		if no := pod.AutomountServiceAccountToken; no == nil || *no {
			t.Error("the pod has a service account's token")
		}
		for _, a := range c.serviceAccounts {
			if no := a.AutomountServiceAccountToken; no == nil || *no || a.Name != pod.ServiceAccountName {
				t.Errorf("ServiceAccount %s gives its token out, or is not the pods' %s", a.Name, pod.ServiceAccountName)
			}
		}
		if no := pod.EnableServiceLinks; no == nil || *no {
			t.Error("Services come as KEYHINT_… variables")
		}
		if read := container.SecurityContext.ReadOnlyRootFilesystem; read == nil || !*read {
			t.Error("the root can be written")
		}
		if len(c.serviceAccounts) != 1 || len(pod.InitContainers) > 0 {
			t.Errorf("%d service accounts, %d init containers", len(c.serviceAccounts), len(pod.InitContainers))
		}
		for _, namespace := range c.namespaces {
			if namespace.Labels[api.EnforceLevelLabel] != string(api.LevelRestricted) {
				t.Errorf("namespace %s does not enforce what the pods can bear", namespace.Name)
			}
			if namespace.Name != c.deployments[0].Namespace {
				t.Errorf("the namespace is %s, and the Deployment's %s", namespace.Name, c.deployments[0].Namespace)
			}
		}
	})
}

// The user is the image's, and what is mounted is for its group and nobody else.
func TestSecretsAreForTheImagesUser(t *testing.T) {
	file, err := os.ReadFile("../container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindSubmatch(file)
	if user == nil {
		t.Fatal("the container file has no user")
	}
	eachBuild(t, func(t *testing.T, c cluster) {
		pod := c.deployments[0].Spec.Template.Spec
		s := pod.SecurityContext
		if s.RunAsUser == nil || s.RunAsGroup == nil || s.FSGroup == nil {
			t.Fatal("user, group or group of files is left to chance")
		}
		if strconv.FormatInt(*s.RunAsUser, 10) != string(user[1]) || strconv.FormatInt(*s.RunAsGroup, 10) != string(user[2]) || *s.FSGroup != *s.RunAsGroup {
			t.Errorf("the pods run as %d:%d with group %d and the image as %s:%s", *s.RunAsUser, *s.RunAsGroup, *s.FSGroup, user[1], user[2])
		}
		for _, v := range pod.Volumes {
			if mode, names := volumeSecrets(t, v); mode != 0o440 || len(names) == 0 {
				t.Errorf("volume %s has mode %o and Secrets %q", v.Name, mode, names)
			}
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !m.ReadOnly || m.SubPath != "" || m.SubPathExpr != "" {
				t.Errorf("%s can be written, or is not kept up to date", m.MountPath)
			}
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("there is no volume %s", m.Name)
			}
		}
		if len(pod.Volumes) != len(pod.Containers[0].VolumeMounts) {
			t.Errorf("%d volumes and %d mounts", len(pod.Volumes), len(pod.Containers[0].VolumeMounts))
		}
	})
}

// volumeSecrets is which Secrets a volume shows, and the mode of its files.
func volumeSecrets(t *testing.T, v corev1.Volume) (mode int32, names []string) {
	t.Helper()
	mode = 0o644 // by default
	var set *int32
	switch {
	case v.Secret != nil:
		set, names = v.Secret.DefaultMode, []string{v.Secret.SecretName}
	case v.Projected != nil:
		set = v.Projected.DefaultMode
		for _, source := range v.Projected.Sources {
			if source.Secret == nil {
				t.Fatalf("volume %s shows more than Secrets", v.Name)
			}
			names = append(names, source.Secret.Name)
		}
	default:
		t.Fatalf("volume %s is of a kind that no test looks at", v.Name)
	}
	if set != nil {
		mode = *set
	}
	return mode, names
}

// Every KEYHINT_ variable is one of a setting that there is.
func TestVariablesAreSettings(t *testing.T) {
	example, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(example, &document); err != nil {
		t.Fatal(err)
	}
	settings := make(map[string]bool)
	var visit func(path string, value any)
	visit = func(path string, value any) {
		section, ok := value.(map[string]any)
		settings[path] = !ok
		for name, inner := range section {
			visit(path+"_"+strings.ToUpper(name), inner)
		}
	}
	visit("KEYHINT", document)
	eachBuild(t, func(t *testing.T, c cluster) {
		for _, e := range c.deployments[0].Spec.Template.Spec.Containers[0].Env {
			if strings.HasPrefix(e.Name, "KEYHINT_") && !settings[e.Name] {
				t.Errorf("%s is no setting", e.Name)
			}
		}
	})
}

// drain is how long keyhint gives requests in flight when it stops, which comes
// after server.shutdown_delay.
const drain = 25 * time.Second

// What is in flight can finish before the pod is killed.
func TestGracePeriodIsLongEnough(t *testing.T) {
	eachBuild(t, func(t *testing.T, c cluster) {
		pod := c.deployments[0].Spec.Template.Spec
		delay, err := time.ParseDuration(variable(pod.Containers[0], "KEYHINT_SERVER_SHUTDOWN_DELAY"))
		if err != nil {
			t.Fatal(err)
		}
		ready := pod.Containers[0].ReadinessProbe
		if notice := time.Duration(ready.PeriodSeconds*ready.FailureThreshold+ready.TimeoutSeconds) * time.Second; delay < notice {
			t.Errorf("server.shutdown_delay is %v, and readiness is noticed after up to %v", delay, notice)
		}
		if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < delay+drain+5*time.Second {
			t.Errorf("the pod is killed after %v, and needs %v and some spare", grace, delay+drain)
		}
	})
}

func variable(c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// The garbage collector knows of the limit, and none of the memory can be swapped.
func TestMemory(t *testing.T) {
	eachBuild(t, func(t *testing.T, c cluster) {
		container := c.deployments[0].Spec.Template.Spec.Containers[0]
		limit, request := container.Resources.Limits.Memory(), container.Resources.Requests.Memory()
		if limit.IsZero() || !limit.Equal(*request) {
			t.Errorf("memory is limited to %v with %v requested: only if both are equal the container gets no swap", limit, request)
		}
		text, ok := strings.CutSuffix(variable(container, "GOMEMLIMIT"), "MiB")
		soft, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			t.Fatalf("GOMEMLIMIT is not in MiB: %v", err)
		}
		if share := float64(soft<<20) / float64(limit.Value()); share < 0.8 || share > 0.9 {
			t.Errorf("GOMEMLIMIT is %.0f %% of the limit; what is not Go's needs a tenth", 100*share)
		}
	})
}

// What is deployed cannot be moved to other content.
func TestExamplePinsTheImage(t *testing.T) {
	image := build(t, "example").deployments[0].Spec.Template.Spec.Containers[0].Image
	if !regexp.MustCompile(`^[a-z0-9./-]+@sha256:[0-9a-f]{64}$`).MatchString(image) {
		t.Errorf("the image is %s", image)
	}
}
